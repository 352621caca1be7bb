//! Changing passwords.

use super::{
    Asking, DURABLE, Error, NewMail, Store,
    access_tokens::revoke_access_tokens,
    links::revoke_links,
    lock::Locks,
    mail::enqueue_mail,
    on_write,
    rate_limits::{forget_networks, welcome},
    sessions::renew,
};
use crate::domain::{time::Timestamp, token::TokenHash};

impl Store {
    /// Like [`Store::renew_session`], but also changes the password. Ends every other session, revokes links that
    /// reset the password or change the email, and enqueues `notice` for the owner. Makes `network` the only known
    /// one. With `revoke_tokens` it also revokes every personal access token. Returns how many sessions ended.
    /// Returns `None`, and changes nothing, if the session has ended or the password no longer has the old hash.
    pub async fn change_password(
        &self,
        asking: Asking,
        (new, network): (&TokenHash, &str),
        (old_password, new_password): (&str, &str),
        now: Timestamp,
        notice: Option<&NewMail>,
        revoke_tokens: bool,
    ) -> Result<Option<u64>, Error> {
        let (store, new) = (self.clone(), new.as_bytes().to_vec());
        let (old_password, new_password) = (old_password.to_owned(), new_password.to_owned());
        let (network, notice) = (network.to_owned(), notice.cloned());
        self.uncancelled(async move {
            let user = &asking.user;
            let _ended = store.forget_user_afterwards(user);
            Ok(on_write!(store, DURABLE, tx => {
                if renew!(tx, &asking, &new, &old_password, now) {
                    let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
                    sqlx::query(sql).bind(user).bind(&new_password).execute(&mut *tx).await?;
                    revoke_links!(tx, user);
                    forget_networks!(tx, user);
                    welcome!(tx, user, &network, now);
                    if revoke_tokens {
                        revoke_access_tokens!(tx, user);
                    }
                    if let Some(notice) = &notice {
                        enqueue_mail!(tx, notice, Some(user), "");
                    }
                    let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
                    Some(sqlx::query(sql).bind(user).bind(&asking.id).execute(&mut *tx).await?.rows_affected())
                } else {
                    None
                }
            }))
        })
        .await
    }
}
