//! Accounts: changing the username, exporting and deleting.

use std::time::Duration;

use super::{Caller, Error, Service, counts::Limit, rate_limits::AddressLimit, reauth::Proven, sessions::session_line};
use crate::{
    domain::{
        account::{
            Account, Export, ExportedImport, ExportedLink, ExportedMail, ExportedSession, FailedLogins, KnownNetwork,
        },
        event::{Details, EventName, Subject},
        time::Timestamp,
        username::Username,
    },
    error::{AppError, Field, Problem},
    store::{ActiveSessions, Authority, DeleteOutcome, LinkRecord, MailRecord, RateLimit, RenameOutcome, User},
};

/// Limit on username changes per address, because each attempt reveals whether a name is taken.
const RENAMES: AddressLimit =
    AddressLimit { action: Limit::Rename, rule: RateLimit { burst: 10, interval: Duration::from_mins(6) } };

impl Service {
    /// Changes the account's username and returns the account. Returns [`AppError::Invalid`] if the username is taken.
    pub async fn change_username(
        &self,
        caller: &Caller,
        proven: &Proven,
        username: &Username,
    ) -> Result<Account, Error> {
        self.rate_limits.take(RENAMES, caller).await?;
        let user = &proven.session().user;
        let change = self.rate_limits.username_change(user, username.clone());
        let stamp = self.stamp(caller.acting_as(proven.actor()));
        match self.store.rename_user(Authority::Owner(proven.checked_token()), change, stamp).await? {
            RenameOutcome::Done => {}
            RenameOutcome::Taken => return Err(Error::invalid(Field::Username, Problem::UsernameTaken)),
            RenameOutcome::SessionEnded => return Err(AppError::SessionEnded.into()),
        }
        tracing::info!(user = %user.id, "username changed");
        Ok(User { username: username.as_str().to_owned(), ..user.clone() }.into())
    }

    /// Exports all data stored about the user.
    pub async fn export(&self, caller: &Caller, proven: &Proven) -> Result<Export, Error> {
        let user = &proven.session().user;
        let stamp = self.stamp(caller.acting_as(proven.actor()));
        let subject = Subject::Account(&user.id);
        self.store.record(&stamp, EventName::AccountExport, subject, Details::default()).await?;
        let records = self.store.list_sessions(&user.id, ActiveSessions::ALL).await?;
        let sessions = records.into_iter().map(|session| ExportedSession {
            client_name: session.name.clone(),
            previous_login_at: session.previous_login_at.map(rfc3339),
            proven_at: rfc3339(session.proven_at),
            session: session_line(session, Some(&proven.session().id)),
        });
        let (last_login_at, failed) =
            self.store.attempts_of(&user.id, &self.rate_limits.unknown_network_key(&user.email)).await?;
        let known_networks = self.store.known_networks_of(&user.id).await?;
        let including_expired = Timestamp::from_millis(i64::MIN);
        let access_tokens = self.store.list_access_tokens(&user.id, including_expired).await?;
        let events = self.whole_history(&user.id).await?;
        let (mails, links) = (self.store.mails_of(&user.id).await?, self.store.links_of(&user.id).await?);
        let imports = self.store.imports_of(&user.id).await?;
        tracing::info!(user = %user.id, "data exported");
        Ok(Export {
            account: user.clone().into(),
            last_login_at: last_login_at.map(rfc3339),
            email_verified_at: user.email_verified_at.map(Timestamp::to_rfc3339),
            failed_logins: failed.map(|(count, last)| FailedLogins { count, last_at: rfc3339(last) }),
            known_networks: known_networks
                .into_iter()
                .map(|seen| KnownNetwork { last_login_at: rfc3339(seen) })
                .collect(),
            sessions: sessions.collect(),
            access_tokens: access_tokens.into_iter().map(Into::into).collect(),
            mails: mails.into_iter().map(Into::into).collect(),
            links: links.into_iter().map(Into::into).collect(),
            events,
            imports: imports
                .into_iter()
                .map(|(source, source_id, at)| ExportedImport { source, source_id, imported_at: rfc3339(at) })
                .collect(),
        })
    }

    /// Deletes the account with all its data. `typed` must be its username, to prevent a deletion by mistake. Otherwise
    /// [`AppError::Invalid`] is returned. Returns [`AppError::LastAdmin`] if the server would have no enabled admin any
    /// more.
    pub async fn delete_account(&self, caller: &Caller, proven: &Proven, typed: &str) -> Result<(), Error> {
        let user = &proven.session().user;
        if !is_username(user, typed) {
            return Err(Error::invalid(Field::Username, Problem::UsernameMismatch));
        }
        let inherit = self.rate_limits.release_username(user);
        let stamp = self.stamp(caller.acting_as(proven.actor()));
        match self.store.delete_user(Authority::Owner(proven.checked_token()), false, inherit, stamp).await? {
            DeleteOutcome::Done => {}
            DeleteOutcome::LastAdmin => return Err(AppError::LastAdmin.into()),
            DeleteOutcome::SessionEnded => return Err(AppError::SessionEnded.into()),
        }
        tracing::info!(user = %user.id, "account deleted");
        Ok(())
    }
}

/// Whether a typed text is an account's username.
pub(super) fn is_username(user: &User, typed: &str) -> bool {
    let own = Username::parse(&user.username);
    Username::parse(typed).is_ok_and(|typed| own.is_ok_and(|own| own.key() == typed.key()))
}

impl From<MailRecord> for ExportedMail {
    fn from(MailRecord { kind, address, created_at, due_at, attempts }: MailRecord) -> Self {
        Self { kind, address, created_at: rfc3339(created_at), due_at: rfc3339(due_at), attempts }
    }
}

impl From<LinkRecord> for ExportedLink {
    fn from(LinkRecord { kind, address, created_at, expires_at }: LinkRecord) -> Self {
        Self { kind, address, created_at: rfc3339(created_at), expires_at: rfc3339(expires_at) }
    }
}

fn rfc3339(millis: i64) -> String {
    Timestamp::from_millis(millis).to_rfc3339()
}
