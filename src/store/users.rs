//! Accounts.

use super::{
    Authority, Error, InheritFailures, NewMail, Store,
    access::{confirm_email, end_access, set_password_hash},
    authority::lock_authorized,
    begin::DURABLE,
    events::{Event, record, record_limited},
    failed_logins::{forget_own_failures, inherit_failures},
    group_names::split_names,
    invitations::{InvitationUse, join_groups_of, redeem, return_use},
    mail::enqueue_mail,
    roles::is_last_admin,
    tx::{Conn, Tx, values},
};
use crate::domain::{
    account::Account,
    email::Email,
    event::{Actor, Details, EventName, Outcome, Stamp, Subject},
    identifier::Identifier,
    role::Role,
    time::Timestamp,
    username::Username,
};

/// An account to create.
#[derive(Debug)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct NewUser<'a> {
    /// A UUID, version 7.
    pub id: String,
    pub email: &'a Email,
    pub username: &'a Username,
    /// A PHC string.
    pub password_hash: &'a str,
    pub created_at: Timestamp,
    /// Whether the email is known to belong to the owner.
    pub verified: bool,
    /// Whether the account waits for an operator's approval.
    pub pending: bool,
    /// When it is deleted, unless it is approved, confirmed or used before.
    pub kept_until: Option<Timestamp>,
    /// Strangers' failures with the username, which then apply to the account.
    pub held: InheritFailures,
}

/// Mails that a registration sends.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// For the owner of the new account.
    pub made: &'a NewMail,
    /// For the owner of the existing account, where a stranger must not learn that the email has one.
    pub taken: Option<&'a NewMail>,
}

/// The result of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The account was created.
    Done,
    /// The email has an account, and its owner is notified.
    OwnerNotified,
    /// The email or the username is taken.
    Taken,
    /// The invitation is invalid, or bound to another email.
    InvitationInvalid,
}

/// A stored account, without its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are columns of the table")]
pub struct User {
    /// A UUID, version 7.
    pub id: String,
    /// The email as it was registered.
    pub email: String,
    /// The username as it was registered.
    pub username: String,
    pub created_at: Timestamp,
    /// `None` if the account is enabled.
    pub disabled_at: Option<Timestamp>,
    /// When the owner confirmed the email, if ever.
    pub email_verified_at: Option<Timestamp>,
    /// Since when the account waits for an operator's approval. `None` for all others.
    pub pending_since: Option<Timestamp>,
    /// `None` for all accounts but those of operators.
    pub role: Option<Role>,
    /// The names of its groups, in alphabetical order.
    pub groups: Vec<String>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            email_verified: user.email_verified_at.is_some(),
            username: user.username,
            created_at: user.created_at.to_rfc3339(),
            role: user.role,
            groups: user.groups,
        }
    }
}

/// An account and its credential.
#[derive(Debug)]
#[expect(missing_docs, reason = "the field is the account")]
pub struct Credential {
    pub user: User,
    /// A PHC string.
    pub password_hash: String,
}

/// A row of `users` with the columns of [`User`].
#[derive(Debug, sqlx::FromRow)]
pub struct UserRow {
    id: String,
    email: String,
    username: String,
    created_at: i64,
    disabled_at: Option<i64>,
    email_verified_at: Option<i64>,
    pending_since: Option<i64>,
    role: Option<String>,
    groups: Option<String>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            username: row.username,
            created_at: Timestamp::from_millis(row.created_at),
            disabled_at: row.disabled_at.map(Timestamp::from_millis),
            email_verified_at: row.email_verified_at.map(Timestamp::from_millis),
            pending_since: row.pending_since.map(Timestamp::from_millis),
            // A later version may know other roles. They have no rights here.
            role: row.role.and_then(|name| Role::named(&name)),
            groups: row.groups.as_deref().map(split_names).unwrap_or_default(),
        }
    }
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field is the account")]
pub struct ListedUser {
    pub user: User,
    /// The account's last login, if any.
    pub last_login_at: Option<Timestamp>,
}

/// A row of `users` with the columns of [`ListedUser`].
#[derive(Debug, sqlx::FromRow)]
pub struct ListedRow {
    #[sqlx(flatten)]
    user: UserRow,
    last_login_at: Option<i64>,
}

impl From<ListedRow> for ListedUser {
    fn from(row: ListedRow) -> Self {
        Self { user: row.user.into(), last_login_at: row.last_login_at.map(Timestamp::from_millis) }
    }
}

/// A row of `users` with the columns of [`Credential`].
#[derive(Debug, sqlx::FromRow)]
pub struct CredentialRow {
    #[sqlx(flatten)]
    user: UserRow,
    password_hash: String,
}

impl From<CredentialRow> for Credential {
    fn from(row: CredentialRow) -> Self {
        Self { user: row.user.into(), password_hash: row.password_hash }
    }
}

/// Selects rows of `users` with the columns of [`User`], then those given first, by the clauses given second.
macro_rules! select_users {
    ($columns:expr, $clauses:expr) => {
        concat!(
            "SELECT users.id, users.email, users.username, users.created_at, users.disabled_at, \
             users.email_verified_at, users.pending_since, users.role, \
             (SELECT STRING_AGG(groups.name, ',') FROM group_members \
              JOIN groups ON groups.id = group_members.group_id WHERE group_members.user_id = users.id) AS groups",
            $columns,
            " FROM users ",
            $clauses
        )
    };
}
pub(super) use select_users;

/// The account with this email or username, and its credential.
async fn find_credential(conn: &mut Conn<'_>, identifier: &Identifier) -> Result<Option<Credential>, Error> {
    let (sql, key) = match identifier {
        Identifier::Email(email) => (select_users!(", password_hash", "WHERE email_key = $1"), email.key()),
        Identifier::Username(username) => (select_users!(", password_hash", "WHERE username_key = $1"), username.key()),
        Identifier::Invalid => return Ok(None),
    };
    Ok(conn.fetch_optional::<CredentialRow>(sql, values![key]).await?.map(Credential::from))
}

/// Whether a change failed because another account has the email or the username. The unique constraint decides, so
/// that two concurrent requests can't both get it.
pub(super) fn is_name_taken(error: &Error) -> bool {
    matches!(error, Error::Fault(sqlx::Error::Database(cause)) if cause.is_unique_violation())
}

/// Creates an account. Returns `false`, and changes nothing, if its email or its username is taken.
pub(super) async fn insert(tx: &mut Tx<'_>, new: &NewUser<'_>) -> Result<bool, Error> {
    let sql = "INSERT INTO users \
               (id, email, email_key, username, username_key, password_hash, created_at, email_verified_at, \
                pending_since, kept_until) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let values = values![
        &new.id,
        new.email.as_str(),
        new.email.key(),
        new.username.as_str(),
        new.username.key(),
        new.password_hash,
        new.created_at,
        new.verified.then_some(new.created_at),
        new.pending.then_some(new.created_at),
        new.kept_until,
    ];
    if tx.execute(sql, values).await? == 0 {
        return Ok(false);
    }
    inherit_failures(tx, &new.held).await?;
    Ok(true)
}

/// Creates an account and enqueues the mails about it.
async fn register(
    tx: &mut Tx<'_>,
    new: &NewUser<'_>,
    welcome: Option<Welcome<'_>>,
    (stamp, invitation): (&Stamp, Option<String>),
) -> Result<RegisterOutcome, Error> {
    let details = Details { invitation, ..Details::default() };
    if insert(tx, new).await? {
        // A confirmed email needs no mail.
        if let Some(welcome) = welcome.filter(|_| !new.verified) {
            enqueue_mail(tx, welcome.made, Some(&new.id), "").await?;
        }
        let registered = stamp.by.actor == Actor::Anonymous;
        let name = if registered { EventName::AccountRegister } else { EventName::AccountCreate };
        record(tx, stamp, Event::of(name, &new.id).with(details)).await?;
        return Ok(RegisterOutcome::Done);
    }
    let Some(taken) = welcome.and_then(|welcome| welcome.taken) else { return Ok(RegisterOutcome::Taken) };
    // A taken username is reported in any case. Otherwise users could send themselves mail by registering
    // their own username.
    let sql = "SELECT id FROM users WHERE email_key = $1 \
               AND NOT EXISTS (SELECT id FROM users WHERE username_key = $2)";
    let owner = tx.fetch_optional::<(String,)>(sql, values![new.email.key(), new.username.key()]).await?;
    let Some((owner,)) = owner else { return Ok(RegisterOutcome::Taken) };
    enqueue_mail(tx, taken, Some(&owner), "").await?;
    let denied = Event {
        name: EventName::AccountRegister,
        outcome: Outcome::Denied,
        subject: Subject::Account(&owner),
        details,
    };
    record_limited(tx, stamp, denied).await?;
    Ok(RegisterOutcome::OwnerNotified)
}

impl Store {
    /// Creates an account and enqueues the mails about it. The unique constraints decide whether the names are free,
    /// so that two concurrent requests can't both succeed.
    ///
    /// With an invitation, the account also joins its groups. A use of it also counts if the owner of the email is
    /// notified. Otherwise its remaining uses would reveal that the email has an account.
    pub async fn insert_user(
        &self,
        new: NewUser<'_>,
        invitation: Option<InvitationUse>,
        welcome: Option<Welcome<'_>>,
        stamp: &Stamp,
    ) -> Result<RegisterOutcome, Error> {
        self.write(DURABLE, async |tx| {
            let invitation = match &invitation {
                Some(used) => match redeem(tx, used, new.email).await? {
                    Some(invitation) => Some(invitation),
                    None => return Ok(RegisterOutcome::InvitationInvalid),
                },
                None => None,
            };
            let outcome = register(tx, &new, welcome, (stamp, invitation.clone())).await?;
            match (&invitation, outcome) {
                (Some(invitation), RegisterOutcome::Done) => join_groups_of(tx, invitation, &new.id).await?,
                (Some(invitation), RegisterOutcome::Taken) => return_use(tx, invitation).await?,
                _ => {}
            }
            Ok(outcome)
        })
        .await
    }

    /// The account with this id.
    pub async fn find_user(&self, id: &str) -> Result<Option<User>, Error> {
        let sql = select_users!("", "WHERE id = $1");
        let row: Option<UserRow> = self.read(async |conn| conn.fetch_optional(sql, values![id]).await).await?;
        Ok(row.map(User::from))
    }

    /// The account with this email or username, and its credential.
    pub async fn find_credential(&self, identifier: &Identifier) -> Result<Option<Credential>, Error> {
        self.read(async |conn| find_credential(conn, identifier).await).await
    }

    /// Accounts in order of creation, starting after the account `after`.
    pub async fn list_users(&self, after: &str, limit: u32) -> Result<Vec<ListedUser>, Error> {
        let sql = select_users!(", last_login_at", "WHERE id > $1 ORDER BY id LIMIT $2");
        let rows: Vec<ListedRow> = self.read(async |conn| conn.fetch_all(sql, values![after, limit]).await).await?;
        Ok(rows.into_iter().map(ListedUser::from).collect())
    }

    /// Accounts with a role, in the order of their creation.
    pub async fn list_operators(&self) -> Result<Vec<ListedUser>, Error> {
        let sql = select_users!(", last_login_at", "WHERE role IS NOT NULL ORDER BY id");
        let rows: Vec<ListedRow> = self.read(async |conn| conn.fetch_all(sql, &[]).await).await?;
        Ok(rows.into_iter().map(ListedUser::from).collect())
    }

    /// Replaces a hash with older parameters by a new one of the same password, unless the password was changed
    /// meanwhile (compare and swap).
    pub async fn renew_hash(&self, user: &str, old: &str, new: &str) -> Result<bool, Error> {
        let sql = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
        self.write(DURABLE, async |tx| Ok(tx.execute(sql, values![user, old, new]).await? == 1)).await
    }

    /// Sets a new password, in one transaction. Ends every session, revokes personal access tokens, and forgets the
    /// known networks and failed logins, except those of strangers. Returns how many sessions ended.
    pub async fn set_password(&self, user: &str, hash: &str, stamp: Stamp) -> Result<u64, Error> {
        let (user, hash) = (user.to_owned(), hash.to_owned());
        let set = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                tx.lock_user(&user).await?;
                set_password_hash(tx, &user, &hash).await?;
                forget_own_failures(tx, &user).await?;
                let ended = end_access(tx, &user).await?;
                let details = Details { sessions_ended: Some(ended), tokens_revoked: Some(true), ..Details::default() };
                record(tx, &stamp, Event::of(EventName::PasswordSet, &user).with(details)).await?;
                Ok(ended)
            })
        });
        set.await
    }

    /// Disables an account, ends its sessions, revokes its personal access tokens and forgets its known networks, in
    /// one transaction. Enabling it again restores none of them. Returns how many sessions ended. Returns `None`, and
    /// changes nothing, if it is the last admin, unless with `force`.
    pub async fn disable_user(&self, authority: Authority, force: bool, stamp: Stamp) -> Result<Option<u64>, Error> {
        let disabled = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                let user = authority.user();
                lock_authorized(tx, &authority).await?;
                if !force && is_last_admin(tx, user).await? {
                    return Ok(None);
                }
                let sql = "UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL";
                let disabled = tx.execute(sql, values![user, stamp.at]).await? == 1;
                let ended = end_access(tx, user).await?;
                if disabled {
                    let details = Details { sessions_ended: Some(ended), ..Details::default() };
                    record(tx, &stamp, Event::of(EventName::AccountDisable, user).with(details)).await?;
                }
                Ok(Some(ended))
            })
        });
        disabled.await
    }

    /// Marks an account's email as confirmed, for the operator. Links that would confirm it are revoked.
    pub async fn confirm_email(&self, user: &str, stamp: Stamp) -> Result<(), Error> {
        let user = user.to_owned();
        let confirmed = self.change(DURABLE, move |tx| {
            Box::pin(async move {
                tx.lock_user(&user).await?;
                let sql = "SELECT id FROM users WHERE id = $1 AND email_verified_at IS NULL";
                if tx.exists(sql, values![&user]).await? {
                    confirm_email(tx, &user, stamp.at).await?;
                    record(tx, &stamp, Event::of(EventName::EmailVerify, &user)).await?;
                }
                Ok(())
            })
        });
        confirmed.await
    }

    /// Enables a disabled account. Links that restore its email have as much time left as when it was disabled.
    /// Failed logins are forgotten, except those of strangers.
    pub async fn enable_user(&self, authority: Authority, stamp: &Stamp) -> Result<(), Error> {
        self.write(DURABLE, async |tx| {
            let (user, now) = (authority.user(), stamp.at);
            lock_authorized(tx, &authority).await?;
            // The account may be an admin. Meanwhile, nobody becomes the first one.
            tx.lock_admins().await?;
            let sql = "UPDATE links SET expires_at = expires_at + $2 - \
                       (SELECT disabled_at FROM users WHERE id = $1) \
                       WHERE user_id = $1 AND kind = 'undo_email' AND EXISTS \
                       (SELECT 1 FROM users WHERE id = $1 AND disabled_at < $2)";
            tx.execute(sql, values![user, now]).await?;
            // Its time to be used may have passed meanwhile.
            let sql = "UPDATE users SET disabled_at = NULL, kept_until = NULL \
                       WHERE id = $1 AND disabled_at IS NOT NULL";
            if tx.execute(sql, values![user]).await? == 1 {
                record(tx, stamp, Event::of(EventName::AccountEnable, user)).await?;
            }
            forget_own_failures(tx, user).await
        })
        .await
    }
}
