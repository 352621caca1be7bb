//! Changing passwords.

use super::{
    Asking, Error, NewMail, Store,
    access::{end_other_sessions, revoke_links, set_password_hash},
    access_tokens::revoke_access_tokens,
    begin::DURABLE,
    known_networks::{forget_networks, welcome},
    mail::enqueue_mail,
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
        let (new, network, notice) = (*new, network.to_owned(), notice.cloned());
        let (old_password, new_password) = (old_password.to_owned(), new_password.to_owned());
        let changed = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let user = &asking.user;
                if !renew(tx, &asking, &new, &old_password, now).await? {
                    return Ok(None);
                }
                set_password_hash(tx, user, &new_password).await?;
                revoke_links(tx, user).await?;
                forget_networks(tx, user).await?;
                welcome(tx, user, &network, now).await?;
                if revoke_tokens {
                    revoke_access_tokens(tx, user).await?;
                }
                if let Some(notice) = &notice {
                    enqueue_mail(tx, notice, Some(user), "").await?;
                }
                Ok(Some(end_other_sessions(tx, user, &asking.id).await?))
            })
        });
        changed.await
    }
}
