//! The operations that links in mails authorise.

use super::{
    Error, InheritFailures, Link, NewMail, Store,
    access::{confirm_email, end_access, revoke_links, set_email, set_password_hash},
    accounts::delete_account,
    begin::DURABLE,
    events::{Event, record},
    known_networks::welcome,
    mail::enqueue_mail,
    tx::{Tx, values},
    users::is_name_taken,
};
use crate::domain::{
    email::Email,
    event::{Details, EventName, Stamp},
    time::Timestamp,
    token::TokenHash,
};

/// A link that its recipient uses.
#[derive(Clone, Debug)]
pub struct Redemption {
    /// The hash of its token.
    pub hash: TokenHash,
    /// The link, as it was found.
    pub link: Link,
    /// The network of the request, which becomes known to the account.
    pub network: String,
}

/// An email that an account gets.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the other field is the email")]
pub struct EmailChange {
    pub email: Email,
    /// Strangers' failures with the previous email, which still apply to the account.
    pub failures: InheritFailures,
}

/// An account that registered with somebody else's email and didn't confirm it.
#[derive(Clone, Debug)]
pub struct Squatter {
    /// The account.
    pub user: String,
    /// Strangers' failures that remain with its username.
    pub failures: InheritFailures,
}

/// The result of changing an email through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveEmailOutcome {
    /// The account has the new email.
    Done,
    /// The link was used, has expired, or was revoked.
    LinkInvalid,
    /// Another account has the email.
    Taken,
}

impl Redemption {
    /// Deletes the link and returns whether it was valid. The account must be locked.
    async fn redeem(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<bool, Error> {
        let sql = "DELETE FROM links WHERE token_hash = $1 AND user_id = $2 AND expires_at > $3 AND EXISTS \
                   (SELECT id FROM users WHERE id = $2 AND disabled_at IS NULL)";
        Ok(tx.execute(sql, values![&self.hash, &self.link.user_id, now]).await? == 1)
    }
}

/// Deletes an account with an unconfirmed email, and its counters. The account must be locked. It is not deleted if
/// it has confirmed or changed its email meanwhile.
async fn evict_squatter(tx: &mut Tx<'_>, squatter: &Squatter, email: &Email, stamp: &Stamp) -> Result<(), Error> {
    let sql = "SELECT id FROM users WHERE id = $1 AND email_key = $2 AND email_verified_at IS NULL";
    if tx.exists(sql, values![&squatter.user, email.key()]).await? {
        delete_account(tx, &squatter.user, EventName::AccountDelete, &squatter.failures, stamp).await?;
    }
    Ok(())
}

/// The time of a change of email: now, or just after the account's last change. The order of changes must be correct
/// whatever the clock does, since undoing one depends on it.
async fn next_change_at(tx: &mut Tx<'_>, user: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let sql = "SELECT MAX(created_at) FROM \
               (SELECT created_at FROM links WHERE user_id = $1 AND kind = 'undo_email' UNION ALL \
                SELECT created_at FROM mails WHERE user_id = $1 AND kind = 'email_changed') AS moves";
    let (last,): (Option<i64>,) = tx.fetch_one(sql, values![user]).await?;
    let after = last.map_or(i64::MIN, |last| last.saturating_add(1));
    Ok(now.max(Timestamp::from_millis(after)))
}

impl Store {
    /// Confirms an account's email through a link. Returns `false` if the link is invalid, or the password no longer
    /// has the given hash.
    pub async fn verify_email(
        &self,
        redemption: Redemption,
        required_hash: String,
        stamp: Stamp,
    ) -> Result<bool, Error> {
        let verified = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let Redemption { link, network, .. } = &redemption;
                let (user, now) = (&link.user_id, stamp.at);
                tx.lock_user(user).await?;
                let sql = "SELECT id FROM users WHERE id = $1 AND email = $2 AND password_hash = $3";
                let unchanged = tx.exists(sql, values![user, &link.address, &required_hash]).await?;
                if !unchanged || !redemption.redeem(tx, now).await? {
                    return Ok(false);
                }
                confirm_email(tx, user, now).await?;
                welcome(tx, user, network, now).await?;
                record(tx, &stamp, Event::of(EventName::EmailVerify, user)).await?;
                Ok(true)
            })
        });
        verified.await
    }

    /// Sets a new password through a link. The link also confirms the account's email. Ends every session, revokes
    /// every personal access token and other such links, and makes the network the only known one. Returns how many
    /// sessions ended. Returns `None`, and changes nothing, if the link is invalid or the account's email has
    /// changed.
    pub async fn reset_password(
        &self,
        redemption: Redemption,
        new_hash: String,
        notice: NewMail,
        stamp: Stamp,
    ) -> Result<Option<u64>, Error> {
        let reset = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let Redemption { link, network, .. } = &redemption;
                let (user, now) = (&link.user_id, notice.created_at);
                tx.lock_user(user).await?;
                let sql = "SELECT id FROM users WHERE id = $1 AND email = $2";
                let unchanged = tx.exists(sql, values![user, &link.address]).await?;
                if !unchanged || !redemption.redeem(tx, now).await? {
                    return Ok(None);
                }
                set_password_hash(tx, user, &new_hash).await?;
                confirm_email(tx, user, now).await?;
                enqueue_mail(tx, &notice, Some(user), "").await?;
                let ended = end_access(tx, user).await?;
                welcome(tx, user, network, now).await?;
                let details = Details { sessions_ended: Some(ended), tokens_revoked: Some(true), ..Details::default() };
                record(tx, &stamp, Event::of(EventName::PasswordReset, user).with(details)).await?;
                Ok(Some(ended))
            })
        });
        reset.await
    }

    /// Changes an account's email to the one that a link confirms, if the password still has the given hash. Links
    /// sent to the previous email are revoked. If that email was confirmed, its owner is notified.
    pub async fn move_email(
        &self,
        redemption: Redemption,
        required_hash: String,
        change: EmailChange,
        mut notice: NewMail,
        stamp: Stamp,
    ) -> Result<MoveEmailOutcome, Error> {
        let moved = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let Redemption { link, network, .. } = &redemption;
                let (user, now) = (&link.user_id, notice.created_at);
                tx.lock_user(user).await?;
                let sql = "SELECT email, email_verified_at FROM users WHERE id = $1 AND password_hash = $2";
                let before: Option<(String, Option<i64>)> =
                    tx.fetch_optional(sql, values![user, &required_hash]).await?;
                let Some((before, verified)) = before else { return Ok(false) };
                if !redemption.redeem(tx, now).await? {
                    return Ok(false);
                }
                notice.created_at = next_change_at(tx, user, now).await?;
                set_email(tx, user, &change.email, &change.failures, now).await?;
                revoke_links(tx, user).await?;
                welcome(tx, user, network, now).await?;
                // An unconfirmed email may be a typo and belong to a stranger, who must not learn the correct one.
                if verified.is_some() {
                    enqueue_mail(tx, &notice, Some(user), &before).await?;
                }
                record(tx, &stamp, Event::of(EventName::EmailChange, user)).await?;
                Ok(true)
            })
        });
        moved_or_taken(moved.await)
    }

    /// Restores an account's previous email and sets a new password, since someone else may know the old one. Ends
    /// every session and revokes every personal access token. Links and requests created since the change are revoked.
    /// Deletes `squatter`, like [`Store::delete_user`]. `notice` is sent to the email that is replaced. Makes the
    /// network the only known one.
    pub async fn undo_email(
        &self,
        redemption: Redemption,
        new_hash: String,
        change: EmailChange,
        squatter: Option<Squatter>,
        notice: NewMail,
        stamp: Stamp,
    ) -> Result<MoveEmailOutcome, Error> {
        let moved = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let Redemption { link, network, .. } = &redemption;
                let (user, now) = (&link.user_id, notice.created_at);
                // In a fixed order, so that two transactions that lock the same accounts can't deadlock. Before the
                // rows of these accounts, since a login locks its account first.
                let mut accounts: Vec<&String> =
                    [user].into_iter().chain(squatter.iter().map(|squatter| &squatter.user)).collect();
                accounts.sort_unstable();
                for account in accounts {
                    tx.lock_user(account).await?;
                }
                if !redemption.redeem(tx, now).await? {
                    return Ok(false);
                }
                if let Some(squatter) = &squatter {
                    evict_squatter(tx, squatter, &change.email, &stamp.numbered(1)).await?;
                }
                let (before,): (String,) = tx.fetch_one("SELECT email FROM users WHERE id = $1", values![user]).await?;
                set_email(tx, user, &change.email, &change.failures, now).await?;
                set_password_hash(tx, user, &new_hash).await?;
                let sql = "DELETE FROM links WHERE user_id = $1 AND kind = 'undo_email' AND created_at >= $2";
                tx.execute(sql, values![user, link.created_at]).await?;
                let sql = "DELETE FROM mails WHERE user_id = $1 AND kind = 'email_changed' AND created_at >= $2";
                tx.execute(sql, values![user, link.created_at]).await?;
                let ended = end_access(tx, user).await?;
                welcome(tx, user, network, now).await?;
                enqueue_mail(tx, &notice, Some(user), &before).await?;
                let details = Details { sessions_ended: Some(ended), tokens_revoked: Some(true), ..Details::default() };
                record(tx, &stamp, Event::of(EventName::EmailUndo, user).with(details)).await?;
                Ok(true)
            })
        });
        moved_or_taken(moved.await)
    }
}

fn moved_or_taken(moved: Result<bool, Error>) -> Result<MoveEmailOutcome, Error> {
    match moved {
        Ok(true) => Ok(MoveEmailOutcome::Done),
        Ok(false) => Ok(MoveEmailOutcome::LinkInvalid),
        Err(error) if is_name_taken(&error) => Ok(MoveEmailOutcome::Taken),
        Err(error) => Err(error),
    }
}
