//! The links in mails that were sent, and what following them does.

use std::time::Duration;

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

/// What following a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Confirms the address of an account.
    Verify,
    /// Sets another password.
    Reset,
    /// Gives an account another address.
    ChangeEmail,
    /// Gives it the one before back.
    UndoEmail,
}

impl LinkKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Verify, Self::Reset, Self::ChangeEmail, Self::UndoEmail];

    /// What it is called in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
            Self::ChangeEmail => "change_email",
            Self::UndoEmail => "undo_email",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How long such a link works.
    #[must_use]
    pub const fn lasts(self) -> Duration {
        match self {
            Self::Verify | Self::ChangeEmail => Duration::from_hours(24),
            Self::Reset => Duration::from_mins(30),
            Self::UndoEmail => Duration::from_hours(72),
        }
    }
}

/// A link that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it does.
    pub kind: LinkKind,
    /// Whose account it is about.
    pub user_id: String,
    /// The address that it proves, or brings back.
    pub address: String,
    /// When its mail was posted: the order of what it undoes.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Link {
    /// Whether its time is not over. One that seems to last longer than its kind does was made before the clock was put back.
    #[must_use]
    pub fn works(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.expires_at <= now.plus(self.kind.lasts()).plus(CLOCK_TOLERANCE)
    }
}

/// A link to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    /// The mail that it is for. Whoever takes that out of the queue meanwhile doesn't want the link either.
    pub mail: &'a str,
    /// What its token hashes to.
    pub token_hash: TokenHash,
    /// What it does.
    pub kind: LinkKind,
    /// Whose account it is about.
    pub user_id: &'a str,
    /// The address that it proves, or brings back.
    pub address: &'a str,
    /// When its mail was posted: the order of what it undoes.
    pub created_at: Timestamp,
    /// Now. It works from here on for as long as its kind lasts.
    pub made_at: Timestamp,
}

/// A link to be written that nobody gets.
#[derive(Clone, Copy, Debug)]
pub struct Decoy<'a> {
    /// What its token hashes to.
    pub token_hash: TokenHash,
    /// What the link in its place would do.
    pub kind: LinkKind,
    /// What the counters call the mailbox that was asked about.
    pub mailbox: &'a str,
    /// Now.
    pub made_at: Timestamp,
}

/// What came of a link that gives an account another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveEmailOutcome {
    /// It has it.
    Done,
    /// The link was used, is too old, or is void.
    LinkInvalid,
    /// Somebody else has the address.
    Taken,
}

/// Uses a link up, and tells whether it worked. The user's row is locked first, as everywhere.
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

/// Voids what somebody who knew the password until now, or had a mail from before, could still use to take the account: links to
/// a new password and to another address, sent or waiting.
macro_rules! revoke_links {
    ($tx:ident, $user:expr) => {{
        let sql = "DELETE FROM links WHERE user_id = $1 AND kind IN ('reset', 'change_email')";
        sqlx::query(sql).bind($user).execute(&mut *$tx).await?;
        let sql = "DELETE FROM mails WHERE user_id = $1 AND kind = 'change_email'";
        sqlx::query(sql).bind($user).execute(&mut *$tx).await?;
    }};
}

/// Ends what somebody else may have gained while they could log in to an account: its sessions, personal access tokens and known
/// networks, and links to a new password or another address. Returns how many sessions there were.
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

/// As [`end_access`], for an owner who proves the address anew: links that confirm it are void as well.
macro_rules! revoke_all_access {
    ($tx:ident, $user:expr) => {{
        sqlx::query("DELETE FROM links WHERE user_id = $1 AND kind = 'verify'").bind($user).execute(&mut *$tx).await?;
        end_access!($tx, $user)
    }};
}

/// Gives an account an address that was proven now. Who is held back from it by its username stays so.
macro_rules! set_email {
    ($tx:ident, $user:expr, ($email:expr, $held:expr), $now:expr) => {{
        let email: &Email = $email;
        inherit_failures!($tx, $held);
        let sql = "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4 WHERE id = $1";
        let query = sqlx::query(sql).bind($user).bind(email.as_str()).bind(email.key());
        query.bind($now.as_millis()).execute(&mut *$tx).await?;
    }};
}

/// Removes an account that has an email without having proven it, with what was counted of it. It must be locked. One that has
/// moved away or proven it meanwhile stays as it is.
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

/// A link that is kept, in a list of its owner's. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LinkRecord {
    /// What following it does.
    pub kind: String,
    /// The address that it proves, or brings back.
    pub address: String,
    /// When its mail was asked for.
    pub created_at: i64,
    /// Until when it works.
    pub expires_at: i64,
}

impl Store {
    /// Makes a link. Older ones that do the same are void then, but for those that bring an address back: each of them
    /// was sent to another. `false`, and nothing is changed, if its mail is no longer wanted: also because a younger one has
    /// gone out before it, or what it proves is another address, or proven.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// Writes a link that nobody gets, with as many statements and commits as [`Store::make_link`]. How long an ask keeps the
    /// database busy must not tell whether an email has an account.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// The link behind a token, even if its time is over.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find_link(&self, hash: &TokenHash) -> Result<Option<Link>, Error> {
        let sql = "SELECT kind, user_id, address, created_at, expires_at FROM links WHERE token_hash = $1";
        let row: Option<(String, String, String, i64, i64)> = on_read!(self, conn => sqlx::query_as(sql)
            .bind(hash.as_bytes().as_slice())
            .fetch_optional(&mut *conn)
            .await?);
        Ok(row.and_then(|(kind, user_id, address, created_at, expires_at)| {
            Some(Link {
                kind: LinkKind::named(&kind)?,
                user_id,
                address,
                created_at: Timestamp::from_millis(created_at),
                expires_at: Timestamp::from_millis(expires_at),
            })
        }))
    }

    /// Forgets a link whose time is over, unless it was given more meanwhile ([`Store::enable_user`]).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn void_link(&self, hash: &TokenHash, now: Timestamp) -> Result<(), Error> {
        on_write!(self, RELAXED, tx => {
            let query = sqlx::query("DELETE FROM links WHERE token_hash = $1 AND expires_at <= $2");
            query.bind(hash.as_bytes().as_slice()).bind(now.as_millis()).execute(&mut *tx).await?;
        });
        Ok(())
    }

    /// Forgets up to `limit` links, and as many personal access tokens, that are too old to work. Returns how many. A link that
    /// brings an email back is kept while its account is closed: [`Store::enable_user`] gives it the time that it had left.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// Every link about an account that is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn links_of(&self, user: &str) -> Result<Vec<LinkRecord>, Error> {
        let sql = "SELECT kind, address, created_at, expires_at FROM links WHERE user_id = $1 ORDER BY created_at";
        Ok(on_read!(self, conn => sqlx::query_as(sql).bind(user).fetch_all(&mut *conn).await?))
    }

    /// Notes that an account's address is its owner's, by a link. The account knows `network` from now on.
    /// `false` if the link doesn't work, or the password whose hash is given is another by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
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

    /// Sets a new password by a link that proves the account's address, which counts as proven then. Every session and
    /// personal access token ends, other such links are void, and the account knows `network` and no other from now on. Returns
    /// how many sessions ended; `None`, and nothing is changed, if the link doesn't work, or the account has another address by
    /// now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reset_password(
        &self,
        (hash, link): (&TokenHash, &Link),
        password_hash: &str,
        network: &str,
        told: &NewMail,
    ) -> Result<Option<u64>, Error> {
        let (store, hash, link) = (self.clone(), hash.as_bytes().to_vec(), link.clone());
        let (password_hash, network, told) = (password_hash.to_owned(), network.to_owned(), told.clone());
        self.uncancelled(async move {
            let (user, now) = (&link.user_id, told.created_at);
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
                    enqueue_mail!(tx, &told, Some(user), "");
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

    /// Gives an account the address that a link proves, which counts as proven then, if the password is still the one whose
    /// hash is given. Links that were sent to the address before are void. If that was its owner's, they are told. `held` are
    /// strangers' failures with the address until now, which stay the account's. The account knows `network` from now on.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn move_email(
        &self,
        (hash, link): (&TokenHash, &Link),
        (email, held): (&Email, Inherit),
        (password_hash, network): (&str, &str),
        told: &NewMail,
    ) -> Result<MoveEmailOutcome, Error> {
        let (store, hash, link) = (self.clone(), hash.as_bytes().to_vec(), link.clone());
        let (email, password_hash, told) = (email.clone(), password_hash.to_owned(), told.clone());
        let network = network.to_owned();
        let moved = self.uncancelled(async move {
            let (user, now) = (&link.user_id, told.created_at);
            let _forgotten = store.forget_user_afterwards(user);
            Ok(on_write!(store, DURABLE, tx => {
                tx.lock_user(user).await?;
                let sql = "SELECT email, email_verified_at FROM users WHERE id = $1 AND password_hash = $2";
                let before: Option<(String, Option<i64>)> =
                    sqlx::query_as(sql).bind(user).bind(&password_hash).fetch_optional(&mut *tx).await?;
                match before {
                    Some((before, verified)) if redeem_link!(tx, &hash, user, now) => {
                        let mut told = told;
                        let sql = "SELECT MAX(created_at) FROM \
                                   (SELECT created_at FROM links WHERE user_id = $1 AND kind = 'undo_email' UNION ALL \
                                    SELECT created_at FROM mails WHERE user_id = $1 AND kind = 'email_changed') AS moves";
                        let last: Option<i64> = sqlx::query_scalar(sql).bind(user).fetch_one(&mut *tx).await?;
                        // Whatever the clock did: which change came after which is what undoing one goes by.
                        let after = last.map_or(i64::MIN, |last| last.saturating_add(1));
                        told.created_at = now.max(Timestamp::from_millis(after));
                        set_email!(tx, user, (&email, &held), now);
                        revoke_links!(tx, user);
                        let sql = "DELETE FROM links WHERE user_id = $1 AND kind = 'verify'";
                        sqlx::query(sql).bind(user).execute(&mut *tx).await?;
                        welcome!(tx, user, &network, now);
                        // An address that was mistyped is a stranger's, who must not learn of the right one.
                        if verified.is_some() {
                            enqueue_mail!(tx, &told, Some(user), &before);
                        }
                        true
                    }
                    _ => false,
                }
            }))
        });
        moved_or_taken(moved.await)
    }

    /// Gives an account the address back that it had before, and a new password, for somebody else may know the old one. Every
    /// session and personal access token ends, and whatever was asked for since then is void. Somebody who has registered
    /// with the address meanwhile and could not prove it, `squatter`, gives way, as by [`Store::delete_user`]. `told` goes to the address until now. The
    /// account knows `network` and no other from now on.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn undo_email(
        &self,
        (hash, link): (&TokenHash, &Link),
        (email, held): (&Email, Inherit),
        (password_hash, network): (&str, &str),
        squatter: Option<(String, Inherit)>,
        told: &NewMail,
    ) -> Result<MoveEmailOutcome, Error> {
        let (store, hash, link) = (self.clone(), hash.as_bytes().to_vec(), link.clone());
        let (email, password_hash, told) = (email.clone(), password_hash.to_owned(), told.clone());
        let network = network.to_owned();
        let moved = self.uncancelled(async move {
            let (user, now) = (&link.user_id, told.created_at);
            let _ended = store.forget_user_afterwards(user);
            let _evicted = squatter.as_ref().map(|(squatter, _)| store.forget_user_afterwards(squatter));
            Ok(on_write!(store, DURABLE, tx => {
                // In one order, so that two who wait for each other's accounts don't do so for ever. And before what is theirs, for
                // a login locks its account first.
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
                    enqueue_mail!(tx, &told, Some(user), &before);
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
        // The database's own uniqueness decides, so that two at once can't both have it.
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
        for kind in LinkKind::ALL {
            let (user_id, address, expires_at) = (String::new(), String::new(), made.plus(kind.lasts()));
            let link = Link { kind, user_id, address, created_at: made, expires_at };
            assert!(link.works(made) && link.works(expires_at.minus(moment)), "{kind:?}");
            assert!(!link.works(expires_at), "{kind:?}");
            assert!(link.works(made.minus(CLOCK_TOLERANCE)), "{kind:?}");
            assert!(!link.works(made.minus(CLOCK_TOLERANCE).minus(moment)), "{kind:?}");
        }
    }
}
