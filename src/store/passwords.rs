//! Changing passwords.

use super::{
    CheckedToken, Error, NewMail, Store,
    access::{end_other_sessions, revoke_access_tokens, revoke_links, set_password_hash},
    begin::DURABLE,
    events::{Event, record},
    known_networks::{forget_networks, welcome},
    mail::enqueue_mail,
    sessions::renew,
};
use crate::domain::{
    event::{Details, EventName, Stamp},
    token::TokenHash,
};

/// A change of a password by its owner.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the other field is the new hash")]
pub struct PasswordUpdate {
    /// The hash that the password must still have.
    pub old_hash: String,
    pub new_hash: String,
    /// The hash of the session's new token.
    pub token_hash: TokenHash,
    /// The network of the request, which becomes the only known one.
    pub network: String,
    /// The mail for the owner.
    pub notice: Option<NewMail>,
    /// Whether every personal access token is revoked too.
    pub revoke_access_tokens: bool,
}

impl Store {
    /// Like [`Store::renew_session`], but also changes the password. Ends every other session, and revokes links that
    /// reset the password or change the email. Returns how many sessions ended. Returns `None`, and changes nothing,
    /// if the session has ended or the password no longer has the old hash.
    pub async fn change_password(
        &self,
        checked: CheckedToken,
        update: PasswordUpdate,
        stamp: Stamp,
    ) -> Result<Option<u64>, Error> {
        let changed = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let (user, now) = (&checked.user, stamp.at);
                if !renew(tx, &checked, &update.token_hash, &update.old_hash, now).await? {
                    return Ok(None);
                }
                set_password_hash(tx, user, &update.new_hash).await?;
                revoke_links(tx, user).await?;
                forget_networks(tx, user).await?;
                welcome(tx, user, &update.network, now).await?;
                if update.revoke_access_tokens {
                    revoke_access_tokens(tx, user).await?;
                }
                if let Some(notice) = &update.notice {
                    enqueue_mail(tx, notice, Some(user), "").await?;
                }
                let ended = end_other_sessions(tx, user, &checked.id).await?;
                let tokens_revoked = update.revoke_access_tokens.then_some(true);
                let details = Details { sessions_ended: Some(ended), tokens_revoked, ..Details::default() };
                record(tx, &stamp, Event::of(EventName::PasswordChange, user).with(details)).await?;
                Ok(Some(ended))
            })
        });
        changed.await
    }
}
