//! Links sent in mails, and the operations they authorise.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    DURABLE, Error, Inherit, NewMail, RELAXED, Store,
    lock::Locks,
    mail::enqueue_mail,
    on_read, on_write,
    rate_limits::{forget_counts, inherit_failures, welcome},
};
use crate::domain::{
    email::Email,
    time::{CLOCK_TOLERANCE, Timestamp},
    token::TokenHash,
};

/// The kind of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum LinkKind {
    /// Confirms an account's email.
    Verify,
    /// Sets a new password.
    Reset,
    /// Changes an account's email.
    ChangeEmail,
    /// Restores the previous email.
    UndoEmail,
}

impl LinkKind {
    /// Its name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// How long a link of this kind is valid.
    #[must_use]
    pub const fn lasts(self) -> Duration {
        match self {
            Self::Verify | Self::ChangeEmail => Duration::from_hours(24),
            Self::Reset => Duration::from_mins(30),
            Self::UndoEmail => Duration::from_hours(72),
        }
    }
}

/// A stored link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct Link {
    pub kind: LinkKind,
    pub user_id: String,
    /// The email that it confirms or restores.
    pub address: String,
    /// When its mail was enqueued. It defines the order of changes to undo.
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Link {
    /// Whether it has not expired. A link that seems to be valid for longer than its kind allows was created before
    /// the clock was put back, and is invalid.
    #[must_use]
    pub fn works(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.expires_at <= now.plus(self.kind.lasts()).plus(CLOCK_TOLERANCE)
    }
}

/// A link to create.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct NewLink<'a> {
    /// The mail that contains it. If the mail was deleted from the queue meanwhile, the link is not created.
    pub mail: &'a str,
    pub token_hash: TokenHash,
    pub kind: LinkKind,
    pub user_id: &'a str,
    /// The email that it confirms or restores.
    pub address: &'a str,
    /// When its mail was enqueued. It defines the order of changes to undo.
    pub created_at: Timestamp,
    /// The current time. The link is valid from now for the lifetime of its kind.
    pub made_at: Timestamp,
}

/// A link to store that nobody receives.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct Decoy<'a> {
    pub token_hash: TokenHash,
    /// The kind of the real link.
    pub kind: LinkKind,
    /// The key of the mailbox in the counters.
    pub mailbox: &'a str,
    /// The current time.
    pub made_at: Timestamp,
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

/// Deletes a link and returns whether it was valid. Locks the user's row first, as every transaction does.
macro_rules! redeem_link {
    ($tx:ident, $hash:expr, $user:expr, $now:expr) => {{
        let (user, now): (&str, $crate::domain::time::Timestamp) = ($user, $now);
        $tx.lock_user(user).await?;
        let sql = "DELETE FROM links WHERE token_hash = $1 AND user_id = $2 AND expires_at > $3 AND EXISTS \
                   (SELECT id FROM users WHERE id = $2 AND disabled_at IS NULL)";
        let query = sqlx::query(sql).bind($hash).bind(user).bind(now.as_millis());
        query.execute(&mut *$tx).await?.rows_affected() == 1
    }};
}

/// Revokes links that reset the password or change the email, and deletes queued mail that changes the email. Someone
/// who knew the old password or read an old mail could still use them to take over the account.
macro_rules! revoke_links {
    ($tx:ident, $user:expr) => {{
        let sql = "DELETE FROM links WHERE user_id = $1 AND kind IN ('reset', 'change_email')";
        sqlx::query(sql).bind($user).execute(&mut *$tx).await?;
        let sql = "DELETE FROM mails WHERE user_id = $1 AND kind = 'change_email'";
        sqlx::query(sql).bind($user).execute(&mut *$tx).await?;
    }};
}

/// Revokes all access that someone else may have gained to an account. This covers sessions, personal access tokens,
/// known networks, and links that reset the password or change the email. Returns how many sessions ended.
macro_rules! end_access {
    ($tx:ident, $user:expr) => {{
        let user: &str = $user;
        $crate::store::links::revoke_links!($tx, user);
        $crate::store::access_tokens::revoke_access_tokens!($tx, user);
        $crate::store::rate_limits::forget_networks!($tx, user);
        let sql = "DELETE FROM sessions WHERE user_id = $1";
        sqlx::query(sql).bind(user).execute(&mut *$tx).await?.rows_affected()
    }};
}

/// Like [`end_access`], for an owner who proves ownership of the email again. Also revokes links that confirm the
/// email.
macro_rules! revoke_all_access {
    ($tx:ident, $user:expr) => {{
        sqlx::query("DELETE FROM links WHERE user_id = $1 AND kind = 'verify'").bind($user).execute(&mut *$tx).await?;
        end_access!($tx, $user)
    }};
}

/// Sets an account's email, which was confirmed just now. Strangers' failed logins are copied to the key of the new
/// email, so that a rate-limited username stays rate-limited.
macro_rules! set_email {
    ($tx:ident, $user:expr, ($email:expr, $held:expr), $now:expr) => {{
        let email: &Email = $email;
        inherit_failures!($tx, $held);
        let sql = "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4 WHERE id = $1";
        let query = sqlx::query(sql).bind($user).bind(email.as_str()).bind(email.key());
        query.bind($now.as_millis()).execute(&mut *$tx).await?;
    }};
}

/// Deletes an account with an unconfirmed email, and its counters. The account must be locked. It is not deleted if
/// it has confirmed or changed its email meanwhile.
macro_rules! evict_squatter {
    ($tx:ident, $squatter:expr, $left:expr, $email:expr) => {{
        let (squatter, email): (&str, &Email) = ($squatter, $email);
        let sql = "SELECT id FROM users WHERE id = $1 AND email_key = $2 AND email_verified_at IS NULL";
        let query = sqlx::query_scalar(sql).bind(squatter).bind(email.key());
        let found: Option<String> = query.fetch_optional(&mut *$tx).await?;
        if found.is_some() {
            forget_counts!($tx, squatter);
            inherit_failures!($tx, $left);
            sqlx::query("DELETE FROM users WHERE id = $1").bind(squatter).execute(&mut *$tx).await?;
            $tx.note_remains().await?;
        }
    }};
}

pub(super) use {end_access, revoke_links};

/// A stored link in a list for its owner. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the fields are columns of the table")]
pub struct LinkRecord {
    pub kind: String,
    /// The email that it confirms or restores.
    pub address: String,
    /// When its mail was requested.
    pub created_at: i64,
    pub expires_at: i64,
}

impl Store {
    /// Creates a link and revokes older ones of the same kind. Links that restore an email are not revoked, since
    /// each was sent to a different address. Returns `false`, and changes nothing, if the mail is no longer needed.
    /// This is so if the mail was deleted from the queue or a newer link was sent first. It is also so if the account's
    /// email has changed or is already confirmed.
    pub async fn make_link(&self, link: NewLink<'_>) -> Result<bool, Error> {
        let proves = matches!(link.kind, LinkKind::Verify | LinkKind::Reset);
        let expires_at = link.made_at.plus(link.kind.lasts());
        Ok(on_write!(self, DURABLE, tx => {
            tx.lock_user(link.user_id).await?;
            let sql = "INSERT INTO links (token_hash, kind, user_id, address, created_at, expires_at) \
                       SELECT $1, $2, id, $4, $5, $6 FROM users WHERE id = $3 AND (email = $4 OR NOT $8) \
                       AND NOT ($2 = 'verify' AND email_verified_at IS NOT NULL) \
                       AND NOT ($9 AND EXISTS (SELECT 1 FROM links WHERE user_id = $3 AND kind = $2 \
                           AND created_at > $5 AND expires_at > $10 AND expires_at <= $11)) \
                       AND EXISTS (SELECT id FROM mails WHERE id = $7)";
            let voids = link.kind != LinkKind::UndoEmail;
            let made = sqlx::query(sql)
                .bind(link.token_hash.as_bytes().as_slice())
                .bind(link.kind.name())
                .bind(link.user_id)
                .bind(link.address)
                .bind(link.created_at.as_millis())
                .bind(expires_at.as_millis())
                .bind(link.mail)
                .bind(proves)
                .bind(voids)
                .bind(link.made_at.as_millis())
                .bind(expires_at.plus(CLOCK_TOLERANCE).as_millis())
                .execute(&mut *tx)
                .await?
                .rows_affected()
                == 1;
            if made && voids {
                let sql = "DELETE FROM links WHERE user_id = $1 AND kind = $2 AND token_hash <> $3";
                let query = sqlx::query(sql).bind(link.user_id).bind(link.kind.name());
                query.bind(link.token_hash.as_bytes().as_slice()).execute(&mut *tx).await?;
            }
            made
        }))
    }

    /// Stores a link that nobody receives, with as many statements and commits as [`Store::make_link`]. The time that
    /// a request occupies the database must not reveal whether an email has an account.
    pub async fn make_decoy(&self, decoy: Decoy<'_>) -> Result<(), Error> {
        let token_hash = decoy.token_hash.as_bytes().as_slice();
        on_write!(self, DURABLE, tx => {
            tx.lock_user("").await?;
            let sql = "INSERT INTO decoy_links (token_hash, kind, mailbox, created_at, expires_at) \
                       VALUES ($1, $2, $3, $4, $5)";
            sqlx::query(sql)
                .bind(token_hash)
                .bind(decoy.kind.name())
                .bind(decoy.mailbox)
                .bind(decoy.made_at.as_millis())
                .bind(decoy.made_at.plus(decoy.kind.lasts()).as_millis())
                .execute(&mut *tx)
                .await?;
            let sql = "DELETE FROM decoy_links WHERE mailbox = $1 AND kind = $2 AND token_hash <> $3";
            let query = sqlx::query(sql).bind(decoy.mailbox).bind(decoy.kind.name());
            query.bind(token_hash).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// The link for a token, even if it has expired.
    pub async fn find_link(&self, hash: &TokenHash) -> Result<Option<Link>, Error> {
        let sql = "SELECT kind, user_id, address, created_at, expires_at FROM links WHERE token_hash = $1";
        let row: Option<(String, String, String, i64, i64)> = on_read!(self, conn => sqlx::query_as(sql)
            .bind(hash.as_bytes().as_slice())
            .fetch_optional(&mut *conn)
            .await?);
        Ok(row.and_then(|(kind, user_id, address, created_at, expires_at)| {
            Some(Link {
                kind: kind.parse().ok()?,
                user_id,
                address,
                created_at: Timestamp::from_millis(created_at),
                expires_at: Timestamp::from_millis(expires_at),
            })
        }))
    }

    /// Deletes an expired link, unless [`Store::enable_user`] has extended it meanwhile.
    pub async fn void_link(&self, hash: &TokenHash, now: Timestamp) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            let query = sqlx::query("DELETE FROM links WHERE token_hash = $1 AND expires_at <= $2");
            query.bind(hash.as_bytes().as_slice()).bind(now.as_millis()).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Deletes up to `limit` expired rows each of links, decoys and personal access tokens. Returns how many. A link
    /// that restores an email is kept while its account is disabled: [`Store::enable_user`] gives it its remaining
    /// time.
    pub async fn sweep_expired(&self, now: Timestamp, limit: usize) -> Result<u64, Error> {
        Ok(on_write!(self, RELAXED, tx => {
            let links = "DELETE FROM links WHERE token_hash IN (SELECT token_hash FROM links WHERE expires_at <= $1 \
                         AND NOT (kind = 'undo_email' AND EXISTS \
                             (SELECT 1 FROM users WHERE id = user_id AND disabled_at IS NOT NULL)) LIMIT $2)";
            let decoys = "DELETE FROM decoy_links WHERE token_hash IN \
                          (SELECT token_hash FROM decoy_links WHERE expires_at <= $1 LIMIT $2)";
            let tokens = "DELETE FROM access_tokens WHERE id IN \
                          (SELECT id FROM access_tokens WHERE expires_at <= $1 LIMIT $2)";
            let (mut rows, limit) = (0, i64::try_from(limit).unwrap_or(i64::MAX));
            for sql in [links, decoys, tokens] {
                let query = sqlx::query(sql).bind(now.as_millis()).bind(limit);
                rows += query.execute(&mut *tx).await?.rows_affected();
            }
            rows
        }))
    }

    /// Every stored link of an account.
    pub async fn links_of(&self, user: &str) -> Result<Vec<LinkRecord>, Error> {
        let sql = "SELECT kind, address, created_at, expires_at FROM links WHERE user_id = $1 ORDER BY created_at";
        Ok(on_read!(self, conn => sqlx::query_as(sql).bind(user).fetch_all(&mut *conn).await?))
    }

    /// Confirms an account's email through a link, and stores `network` as known to the account. Returns `false` if
    /// the link is invalid, or the password no longer has the given hash.
    pub async fn verify_email(
        &self,
        (hash, link): (&TokenHash, &Link),
        (password_hash, network): (&str, &str),
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (store, hash, link) = (self.clone(), hash.as_bytes().to_vec(), link.clone());
        let (password_hash, network) = (password_hash.to_owned(), network.to_owned());
        self.uncancelled(async move {
            let _forgotten = store.forget_user_afterwards(&link.user_id);
            Ok(on_write!(store, DURABLE, tx => {
                tx.lock_user(&link.user_id).await?;
                let sql = "SELECT id FROM users WHERE id = $1 AND email = $2 AND password_hash = $3";
                let query = sqlx::query_scalar(sql).bind(&link.user_id).bind(&link.address).bind(&password_hash);
                let same: Option<String> = query.fetch_optional(&mut *tx).await?;
                let verified = same.is_some() && redeem_link!(tx, &hash, &link.user_id, now);
                if verified {
                    let sql = "UPDATE users SET email_verified_at = COALESCE(email_verified_at, $2) WHERE id = $1";
                    sqlx::query(sql).bind(&link.user_id).bind(now.as_millis()).execute(&mut *tx).await?;
                    let sql = "DELETE FROM links WHERE user_id = $1 AND kind = 'verify'";
                    sqlx::query(sql).bind(&link.user_id).execute(&mut *tx).await?;
                    welcome!(tx, &link.user_id, &network, now);
                }
                verified
            }))
        })
        .await
    }

    /// Sets a new password through a link. The link also confirms the account's email. Ends every session, revokes
    /// every personal access token and other such links, and makes `network` the only known one. Returns how many
    /// sessions ended. Returns `None`, and changes nothing, if the link is invalid or the account's email has
    /// changed.
    pub async fn reset_password(
        &self,
        (hash, link): (&TokenHash, &Link),
        password_hash: &str,
        network: &str,
        notice: &NewMail,
    ) -> Result<Option<u64>, Error> {
        let (store, hash, link) = (self.clone(), hash.as_bytes().to_vec(), link.clone());
        let (password_hash, network, notice) = (password_hash.to_owned(), network.to_owned(), notice.clone());
        self.uncancelled(async move {
            let (user, now) = (&link.user_id, notice.created_at);
            let _ended = store.forget_user_afterwards(user);
            Ok(on_write!(store, DURABLE, tx => {
                tx.lock_user(user).await?;
                let sql = "SELECT id FROM users WHERE id = $1 AND email = $2";
                let same: Option<String> =
                    sqlx::query_scalar(sql).bind(user).bind(&link.address).fetch_optional(&mut *tx).await?;
                if same.is_some() && redeem_link!(tx, &hash, user, now) {
                    let sql = "UPDATE users SET password_hash = $2, email_verified_at = COALESCE(email_verified_at, $3) \
                               WHERE id = $1";
                    let query = sqlx::query(sql).bind(user).bind(&password_hash).bind(now.as_millis());
                    query.execute(&mut *tx).await?;
                    enqueue_mail!(tx, &notice, Some(user), "");
                    let ended = revoke_all_access!(tx, user);
                    welcome!(tx, user, &network, now);
                    Some(ended)
                } else {
                    None
                }
            }))
        })
        .await
    }

    /// Changes an account's email to the one that a link confirms, if the password still has the given hash. Links
    /// sent to the previous email are revoked. If that email was confirmed, its owner is notified. `held` are
    /// strangers' failures with the previous email, which still apply to the account. Stores `network` as known to
    /// the account.
    pub async fn move_email(
        &self,
        (hash, link): (&TokenHash, &Link),
        (email, held): (&Email, Inherit),
        (password_hash, network): (&str, &str),
        notice: &NewMail,
    ) -> Result<MoveEmailOutcome, Error> {
        let (store, hash, link) = (self.clone(), hash.as_bytes().to_vec(), link.clone());
        let (email, password_hash, notice) = (email.clone(), password_hash.to_owned(), notice.clone());
        let network = network.to_owned();
        let moved = self.uncancelled(async move {
            let (user, now) = (&link.user_id, notice.created_at);
            let _forgotten = store.forget_user_afterwards(user);
            Ok(on_write!(store, DURABLE, tx => {
                tx.lock_user(user).await?;
                let sql = "SELECT email, email_verified_at FROM users WHERE id = $1 AND password_hash = $2";
                let before: Option<(String, Option<i64>)> =
                    sqlx::query_as(sql).bind(user).bind(&password_hash).fetch_optional(&mut *tx).await?;
                match before {
                    Some((before, verified)) if redeem_link!(tx, &hash, user, now) => {
                        let mut notice = notice;
                        let sql = "SELECT MAX(created_at) FROM \
                                   (SELECT created_at FROM links WHERE user_id = $1 AND kind = 'undo_email' UNION ALL \
                                    SELECT created_at FROM mails WHERE user_id = $1 AND kind = 'email_changed') AS moves";
                        let last: Option<i64> = sqlx::query_scalar(sql).bind(user).fetch_one(&mut *tx).await?;
                        // The order of changes must be correct whatever the clock does, since undoing one depends on
                        // it.
                        let after = last.map_or(i64::MIN, |last| last.saturating_add(1));
                        notice.created_at = now.max(Timestamp::from_millis(after));
                        set_email!(tx, user, (&email, &held), now);
                        revoke_links!(tx, user);
                        let sql = "DELETE FROM links WHERE user_id = $1 AND kind = 'verify'";
                        sqlx::query(sql).bind(user).execute(&mut *tx).await?;
                        welcome!(tx, user, &network, now);
                        // An unconfirmed email may be a typo and belong to a stranger, who must not learn the correct
                        // one.
                        if verified.is_some() {
                            enqueue_mail!(tx, &notice, Some(user), &before);
                        }
                        true
                    }
                    _ => false,
                }
            }))
        });
        moved_or_taken(moved.await)
    }

    /// Restores an account's previous email and sets a new password, since someone else may know the old one. Ends
    /// every session and revokes every personal access token. Links and requests created since the change are revoked.
    /// Deletes `squatter`, like [`Store::delete_user`]: an account that registered with the email in the meantime and
    /// didn't confirm it. `notice` is sent to the email that is replaced. Makes `network` the only known one.
    pub async fn undo_email(
        &self,
        (hash, link): (&TokenHash, &Link),
        (email, held): (&Email, Inherit),
        (password_hash, network): (&str, &str),
        squatter: Option<(String, Inherit)>,
        notice: &NewMail,
    ) -> Result<MoveEmailOutcome, Error> {
        let (store, hash, link) = (self.clone(), hash.as_bytes().to_vec(), link.clone());
        let (email, password_hash, notice) = (email.clone(), password_hash.to_owned(), notice.clone());
        let network = network.to_owned();
        let moved = self.uncancelled(async move {
            let (user, now) = (&link.user_id, notice.created_at);
            let _ended = store.forget_user_afterwards(user);
            let _evicted = squatter.as_ref().map(|(squatter, _)| store.forget_user_afterwards(squatter));
            Ok(on_write!(store, DURABLE, tx => {
                // In a fixed order, so that two transactions that lock the same accounts can't deadlock. Before the
                // rows of these accounts, since a login locks its account first.
                let mut locked = [user].into_iter().chain(squatter.iter().map(|(squatter, _)| squatter)).collect::<Vec<_>>();
                locked.sort_unstable();
                for account in locked {
                    tx.lock_user(account).await?;
                }
                let works = redeem_link!(tx, &hash, user, now);
                if works {
                    if let Some((squatter, left)) = &squatter {
                        evict_squatter!(tx, squatter, left, &email);
                    }
                    let sql = "SELECT email FROM users WHERE id = $1";
                    let before: String = sqlx::query_scalar(sql).bind(user).fetch_one(&mut *tx).await?;
                    set_email!(tx, user, (&email, &held), now);
                    let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
                    sqlx::query(sql).bind(user).bind(&password_hash).execute(&mut *tx).await?;
                    let sql = "DELETE FROM links WHERE user_id = $1 AND kind = 'undo_email' AND created_at >= $2";
                    sqlx::query(sql).bind(user).bind(link.created_at.as_millis()).execute(&mut *tx).await?;
                    let sql = "DELETE FROM mails WHERE user_id = $1 AND kind = 'email_changed' AND created_at >= $2";
                    sqlx::query(sql).bind(user).bind(link.created_at.as_millis()).execute(&mut *tx).await?;
                    revoke_all_access!(tx, user);
                    welcome!(tx, user, &network, now);
                    enqueue_mail!(tx, &notice, Some(user), &before);
                }
                works
            }))
        });
        moved_or_taken(moved.await)
    }
}

fn moved_or_taken(moved: Result<bool, Error>) -> Result<MoveEmailOutcome, Error> {
    match moved {
        Ok(true) => Ok(MoveEmailOutcome::Done),
        Ok(false) => Ok(MoveEmailOutcome::LinkInvalid),
        // The unique constraint decides, so that two concurrent requests can't both get it.
        Err(Error::Fault(sqlx::Error::Database(e))) if e.is_unique_violation() => Ok(MoveEmailOutcome::Taken),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_until_its_end_and_for_no_longer_than_its_kind_lasts_r55_r99() {
        let made = Timestamp::from_millis(1_795_348_800_000);
        let moment = Duration::from_millis(1);
        for &kind in LinkKind::VARIANTS {
            let (user_id, address, expires_at) = (String::new(), String::new(), made.plus(kind.lasts()));
            let link = Link { kind, user_id, address, created_at: made, expires_at };
            assert!(link.works(made) && link.works(expires_at.minus(moment)), "{kind:?}");
            assert!(!link.works(expires_at), "{kind:?}");
            assert!(link.works(made.minus(CLOCK_TOLERANCE)), "{kind:?}");
            assert!(!link.works(made.minus(CLOCK_TOLERANCE).minus(moment)), "{kind:?}");
        }
    }
}
