//! The networks from which an account's owner has logged in.

use super::{
    Error, Store,
    failed_logins::{forget_failures_in, forget_failures_of},
    tx::{Tx, values},
};
use crate::domain::time::Timestamp;

/// The maximum number of known networks of an account. The one that was not seen for the longest time is replaced.
const KNOWN_NETWORKS: i64 = 10;

/// The networks that a new one replaces. Used for their counters, too. Parameters: the new one's key, the account,
/// and how many others stay known.
macro_rules! older {
    () => {
        "known_networks WHERE user_id = $2 AND key <> $1 AND key NOT IN \
         (SELECT key FROM known_networks WHERE user_id = $2 AND key <> $1 ORDER BY seen_at DESC, key LIMIT $3)"
    };
}

/// The key of the counter for logins from a network that the account knows.
#[must_use]
pub fn known_network_key(user: &str, network: &str) -> String {
    format!("known:{user}:{network}")
}

/// Stores a network as known to an account.
pub(super) async fn know_network(tx: &mut Tx<'_>, user: &str, key: &str, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO known_networks (key, user_id, seen_at) VALUES ($1, $2, $3) \
               ON CONFLICT (key) DO UPDATE SET seen_at = $3 \
               RETURNING (SELECT COUNT(*) FROM known_networks WHERE user_id = $2 AND key <> $1)";
    let (others,): (i64,) = tx.fetch_one(sql, values![key, user, now]).await?;
    if others >= KNOWN_NETWORKS {
        let values = values![key, user, KNOWN_NETWORKS - 1];
        tx.execute(concat!(forget_failures_in!(), "(SELECT key FROM ", older!(), ")"), values).await?;
        tx.execute(concat!("DELETE FROM ", older!()), values).await?;
    }
    Ok(())
}

/// Stores the network from which the owner proved ownership as known, without failures. Logins from there succeed,
/// however often strangers guess.
pub(super) async fn welcome(tx: &mut Tx<'_>, user: &str, network: &str, now: Timestamp) -> Result<(), Error> {
    know_network(tx, user, network, now).await?;
    forget_failures_of(tx, network).await
}

/// Deletes the known networks of an account and their counters, since someone else may have logged in from them.
pub(super) async fn forget_networks(tx: &mut Tx<'_>, user: &str) -> Result<(), Error> {
    let sql = concat!(forget_failures_in!(), "(SELECT key FROM known_networks WHERE user_id = $1)");
    tx.execute(sql, values![user]).await?;
    tx.execute("DELETE FROM known_networks WHERE user_id = $1", values![user]).await.map(drop)
}

impl Store {
    /// The last login from each network that an account knows, the latest first. Times are milliseconds since 1970.
    pub async fn known_networks_of(&self, user: &str) -> Result<Vec<i64>, Error> {
        let sql = "SELECT seen_at FROM known_networks WHERE user_id = $1 ORDER BY seen_at DESC";
        self.read(async |conn| conn.fetch_column(sql, values![user]).await).await
    }
}
