//! Counting a login before its password is compared.

use std::time::Duration;

use super::{
    Credential, CredentialRow, Error, NameKey, Store,
    failed_logins::{LoginBackoff, LoginCounter, Reservation, reserve},
    known_networks::known_network_key,
    rate_limits::{RateLimit, take},
    tx::{Conn, values},
    users::select_users,
};
use crate::domain::{identifier::Identifier, time::Timestamp};

/// The account that a login is for.
#[derive(Clone, Debug)]
pub enum LoginTarget {
    /// The account with a name.
    Named {
        /// The email or username.
        identifier: Identifier,
        /// The name as typed.
        typed: String,
        /// The key for hashing names in counters.
        names: NameKey,
        /// The hash of the client's network.
        network: String,
        /// A network last seen before this is not known any more.
        known_since: Timestamp,
    },
    /// An account whose owner is identified by a session or by a link in a mail.
    Owner {
        /// The account's email, for the look-up.
        identifier: Identifier,
        /// The counter for failures.
        counter: LoginCounter,
    },
}

/// The result of counting a login before it is tried.
#[derive(Debug)]
pub enum LoginCount {
    /// An address or network is rate-limited, by its index in the list, for this long. The account was not counted.
    AddressLimited(usize, Duration),
    /// The addresses are within their limits.
    Counted(Box<Counted>),
}

/// A login that was counted for its addresses.
#[derive(Debug)]
pub struct Counted {
    /// The account, if there is one.
    pub known: Option<Credential>,
    /// The counter for failures.
    pub counter: LoginCounter,
    /// The account's last login from this network, if the network is known.
    pub network_seen_at: Option<Timestamp>,
    /// Whether the login may be tried.
    pub reservation: Reservation,
}

/// A row of `users` with the columns that a login needs.
#[derive(Debug, sqlx::FromRow)]
pub struct LoginRow {
    #[sqlx(flatten)]
    credential: CredentialRow,
    email_key: String,
    network_seen_at: Option<i64>,
}

/// The key of the counter for strangers' failed logins. It is based on the account's canonical email, or on the name
/// if there is no account. Names are hashed, since someone may have typed a password there.
#[must_use]
pub fn unknown_network_key(names: &NameKey, name: &str) -> String {
    canonical_key(names, &canonical(name, &Identifier::parse(name)))
}

fn canonical_key(names: &NameKey, canonical: &str) -> String {
    names.name("name:", canonical)
}

/// The canonical spelling of a name. Names without an account are normalised in case and form, as account names are.
fn canonical(typed: &str, parsed: &Identifier) -> String {
    match parsed {
        Identifier::Email(email) => email.key().to_owned(),
        Identifier::Username(username) => username.key().to_owned(),
        Identifier::Invalid => typed.trim().to_lowercase(),
    }
}

impl LoginTarget {
    fn identifier(&self) -> &Identifier {
        match self {
            Self::Named { identifier, .. } | Self::Owner { identifier, .. } => identifier,
        }
    }

    fn network(&self) -> &str {
        match self {
            Self::Named { network, .. } => network,
            Self::Owner { .. } => "",
        }
    }

    /// Selects the counter for the account that was found.
    fn counted(&self, row: Option<LoginRow>) -> Counted {
        let row = row.map(|row| (Credential::from(row.credential), row.email_key, row.network_seen_at));
        let (known, email_key, seen_at) = match row {
            Some((known, email_key, seen_at)) => (Some(known), Some(email_key), seen_at),
            None => (None, None, None),
        };
        let (counter, network_seen_at) = match self {
            Self::Owner { counter, .. } => (counter.clone(), None),
            Self::Named { identifier, typed, names, network, known_since } => {
                let seen_at = seen_at.map(Timestamp::from_millis).filter(|seen| seen > known_since);
                let key = match (&known, seen_at, email_key) {
                    (Some(known), Some(_), _) => known_network_key(&known.user.id, network),
                    (_, _, Some(email_key)) => canonical_key(names, &email_key),
                    _ => canonical_key(names, &canonical(typed, identifier)),
                };
                (LoginCounter { key, owners: seen_at.is_some() }, seen_at)
            }
        };
        Counted { known, counter, network_seen_at, reservation: Reservation::Later }
    }
}

/// Selects an account with the columns that a login needs. $1 the key, $2 the hash of the client's network.
macro_rules! for_login {
    ($key:literal) => {
        select_users!(
            ", password_hash, email_key, \
             (SELECT seen_at FROM known_networks WHERE key = 'known:' || users.id || ':' || $2) AS network_seen_at",
            $key
        )
    };
}

/// Finds the account with a name for a login from a network.
async fn find_for_login(
    conn: &mut Conn<'_>,
    identifier: &Identifier,
    network: &str,
) -> Result<Option<LoginRow>, Error> {
    let (sql, key) = match identifier {
        Identifier::Email(email) => (for_login!("WHERE email_key = $1"), email.key()),
        Identifier::Username(username) => (for_login!("WHERE username_key = $1"), username.key()),
        Identifier::Invalid => return Ok(None),
    };
    conn.fetch_optional(sql, values![key, network]).await
}

impl Store {
    /// Finds an account and takes one permit from the rate limit of each address. If they permit it, reserves a
    /// login, unless `in_line` reports that others are waiting for the same counter. A reservation must be settled:
    /// by [`Store::begin_session`], [`Store::settle_right`] or [`Store::settle_failed`]. If the database fails in
    /// between, the attempt may be counted for its addresses only.
    pub async fn count_login(
        &self,
        of: &LoginTarget,
        addresses: &[(String, RateLimit)],
        rule: LoginBackoff,
        in_line: &(dyn Fn(&str) -> bool + Sync),
        now: Timestamp,
    ) -> Result<LoginCount, Error> {
        self.each(async |conn| {
            let row = find_for_login(conn, of.identifier(), of.network()).await?;
            for (place, (key, allowance)) in addresses.iter().enumerate() {
                if let Err(wait) = take(conn, key, *allowance, now).await? {
                    return Ok(LoginCount::AddressLimited(place, wait));
                }
            }
            let mut counted = of.counted(row);
            if !in_line(&counted.counter.key) {
                counted.reservation = reserve(conn, &counted.counter.key, rule, now).await?;
            }
            Ok(LoginCount::Counted(Box::new(counted)))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(typed: &str) -> String {
        unknown_network_key(&NameKey::new([7; NameKey::LENGTH]), typed)
    }

    #[test]
    fn spellings_of_an_unknown_name_share_one_count_r88() {
        assert_eq!(key_of("Unknown@Example.org"), key_of(" unknown@example.ORG"));
        assert_eq!(key_of("Unknown"), key_of("uNKNOWN "));
        assert_eq!(key_of("not valid!"), key_of("Not Valid!"));
        assert_ne!(key_of("unknown"), key_of("unknown2"));
    }

    #[test]
    fn the_name_of_an_unknown_account_is_stored_as_a_keyed_hash() {
        assert!(!key_of("correct horse battery").contains("horse"));
    }
}
