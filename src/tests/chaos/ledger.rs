//! Records what a server acknowledged, and checks that it is stored.

use std::{fmt, net::SocketAddr};

use serde_json::{Value, json};
use vestibule::store::MailKind;

use super::mail_folder::MailFolder;
use crate::util::{
    PASSWORD,
    client::{Failure, Whole, call, log_in, log_in_with, log_out, me, register},
};

/// The password after a change.
const CHANGED: &str = "walrus orchard lantern";

/// The first words of each mail's subject.
const CONFIRM: &str = "Confirm your email";
const RESET: &str = "Choose a new password";
const CONFIRM_NEW: &str = "Confirm your new email";
const PASSWORD_CHANGED: &str = "Your password";
const ACCESS_TOKEN_CREATED: &str = "A new access token";

/// Whether the response arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledged {
    Yes,
    /// No complete response arrived, or it reported that the database is unavailable. The operation may have been done
    /// or not.
    Unknown,
}

/// The known state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionState {
    Active,
    /// Its logout was not acknowledged.
    Unknown,
    /// Ended permanently.
    Ended,
}

struct Login {
    token: String,
    state: SessionState,
    /// Whether it is a personal access token. A crash of the database must not lose one.
    personal: bool,
}

/// An account that a client tried to register.
#[derive(Debug)]
struct Account {
    name: String,
    registered: Acknowledged,
    /// State of the password change, if one was tried.
    changed: Option<Acknowledged>,
    /// State of the deletion, if one was tried.
    deleted: Option<Acknowledged>,
    /// State of the email's confirmation, if one was tried.
    verified: Option<Acknowledged>,
    /// State of the change of email, if one was tried.
    moved: Option<Acknowledged>,
}

impl Account {
    fn new(name: String, registered: Acknowledged) -> Self {
        Self { name, registered, changed: None, deleted: None, verified: None, moved: None }
    }

    fn email(&self) -> String {
        format!("{}@example.org", self.name)
    }

    fn new_email(&self) -> String {
        format!("{}@example.com", self.name)
    }
}

/// A mail that must arrive: its address, its kind in the database, and the first words of its subject.
#[derive(Debug)]
pub struct ExpectedMail {
    address: String,
    kind: MailKind,
    subject: &'static str,
}

/// The record of one client.
pub struct Ledger<'a> {
    client: usize,
    mail_folder: &'a MailFolder,
    /// Whether a crash of the database may lose the latest sessions. On PostgreSQL it may, because logins don't wait
    /// for its log.
    sessions_may_be_lost: bool,
    accounts: Vec<Account>,
    logins: Vec<Login>,
    /// Used links that must no longer work: the path, and the request body.
    used_links: Vec<(&'static str, Value)>,
    expected_mails: Vec<ExpectedMail>,
    pub counts: Counts,
    /// Violations that the audit found.
    pub faults: Vec<String>,
}

/// Totals of a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accounts that a client tried to register.
    pub accounts: usize,
    /// Acknowledged registrations.
    pub registered: usize,
    /// Acknowledged logins.
    pub logged_in: usize,
    /// Acknowledged logouts.
    pub logged_out: usize,
    /// Acknowledged changes of a password.
    pub changed: usize,
    /// Acknowledged personal access tokens.
    pub issued: usize,
    /// Acknowledged deletions.
    pub deleted: usize,
    /// Acknowledged confirmations of an email by a link.
    pub confirmed: usize,
    /// Acknowledged passwords that were set by a link.
    pub reset: usize,
    /// Acknowledged changes of an email by a link.
    pub moved: usize,
    /// Mails that an acknowledged operation must send.
    pub expected_mails: usize,
    /// Acknowledged logins with a lost session.
    pub lost: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accounts, registered, logged_in, logged_out, changed, issued, deleted, .. } = self;
        let Self { confirmed, reset, moved, expected_mails, lost, .. } = self;
        write!(
            f,
            "{registered} registrations, {logged_out} logouts, {changed} changes of a password, {issued} access tokens, \
             {confirmed} emails confirmed, {reset} passwords set and {moved} emails changed by links from mails, and {deleted} \
             deletions were acknowledged and held, {expected_mails} mails had to go out, {} registrations got no acknowledgement; of \
             {logged_in} sessions {lost} were lost",
            accounts - registered
        )
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            accounts: sum.accounts + one.accounts,
            registered: sum.registered + one.registered,
            logged_in: sum.logged_in + one.logged_in,
            logged_out: sum.logged_out + one.logged_out,
            changed: sum.changed + one.changed,
            issued: sum.issued + one.issued,
            deleted: sum.deleted + one.deleted,
            confirmed: sum.confirmed + one.confirmed,
            reset: sum.reset + one.reset,
            moved: sum.moved + one.moved,
            expected_mails: sum.expected_mails + one.expected_mails,
            lost: sum.lost + one.lost,
        })
    }
}

impl<'a> Ledger<'a> {
    pub fn new(client: usize, mail_folder: &'a MailFolder, sessions_may_be_lost: bool) -> Self {
        let (accounts, logins, used_links, expected_mails) = (vec![], vec![], vec![], vec![]);
        let (faults, counts) = (vec![], Counts::default());
        Self { client, mail_folder, sessions_may_be_lost, accounts, logins, used_links, expected_mails, counts, faults }
    }

    /// Runs one round of user operations: registers, logs in, and uses the account. Every other round logs an earlier
    /// login out, and checks that an ended one is still rejected. Returns whether the registration was acknowledged.
    pub fn write(&mut self, server: SocketAddr) -> bool {
        let name = format!("user{}-{}", self.client, self.accounts.len());
        let answer = register(server, &name);
        if answer.as_ref().is_err_and(|failure| *failure == Failure::Refused) {
            std::thread::yield_now();
            return false;
        }
        let registered = acknowledged(self.answer(answer, &[200]).is_some());
        self.accounts.push(Account::new(name.clone(), registered));
        if registered == Acknowledged::Unknown {
            return false;
        }
        self.counts.registered += 1;
        let mut to_confirm = true;
        if let Some(answer) = self.answer(log_in(server, &name), &[200]) {
            self.counts.logged_in += 1;
            self.keep(&answer, false);
            to_confirm = self.use_account(server);
        }
        if to_confirm {
            self.expect_mail(MailKind::Verify, CONFIRM);
        }
        if self.accounts.len().is_multiple_of(2) {
            self.end_one(server);
            self.check_an_ended_login(server);
        }
        true
    }

    fn keep(&mut self, answer: &Whole, personal: bool) {
        let token = answer.json()["token"].as_str().unwrap_or_default().to_owned();
        self.logins.push(Login { token, state: SessionState::Active, personal });
    }

    /// Records that the latest account must receive a mail.
    fn expect_mail(&mut self, kind: MailKind, subject: &'static str) {
        let address = self.latest().email();
        self.expect_mail_to(address, kind, subject);
    }

    fn expect_mail_to(&mut self, address: String, kind: MailKind, subject: &'static str) {
        self.expected_mails.push(ExpectedMail { address, kind, subject });
    }

    /// Runs an operation with the account of the latest login. Returns whether the confirmation mail must still arrive.
    /// It may be absent once the account is deleted, or once another mail confirms an email.
    fn use_account(&mut self, server: SocketAddr) -> bool {
        let login = self.logins.len() - 1;
        // The number of logins selects the operation. A client completes about two logins between two kills, so the
        // number of accounts would always select the same operation.
        let operation = (self.client + self.counts.logged_in) % 6;
        match operation {
            0 => self.make_token(server, login),
            1 => self.change_password(server, login),
            2 => self.delete(server, login),
            3 => self.confirm(server),
            4 => self.forget_password(server, login),
            _ => self.change_email(server, login),
        }
        ![2, 4, 5].contains(&operation)
    }

    fn make_token(&mut self, server: SocketAddr, login: usize) {
        let request = json!({ "name": "backup", "scope": "full", "days": 30 });
        let answer = send(server, "tokens/", &self.logins[login].token, &request);
        if let Some(answer) = self.answer(answer, &[200, 401]).filter(|answer| answer.status == 200) {
            self.counts.issued += 1;
            self.keep(&answer, true);
            self.expect_mail(MailKind::AccessTokenCreated, ACCESS_TOKEN_CREATED);
        }
    }

    fn change_password(&mut self, server: SocketAddr, login: usize) {
        let passwords = json!({ "current_password": PASSWORD, "new_password": CHANGED });
        let answer = send(server, "change_password/", &self.logins[login].token, &passwords);
        let answer = self.answer(answer, &[200, 401]);
        let done = answer.as_ref().is_some_and(|answer| answer.status == 200);
        self.latest().changed = Some(acknowledged(done));
        // The session continues under another token, which the client doesn't know if the response was lost.
        self.logins[login].state = if answer.is_some() { SessionState::Ended } else { SessionState::Unknown };
        if let Some(answer) = answer.filter(|_| done) {
            self.counts.changed += 1;
            self.keep(&answer, false);
            self.expect_mail(MailKind::PasswordChanged, PASSWORD_CHANGED);
        }
    }

    fn delete(&mut self, server: SocketAddr, login: usize) {
        let name = json!({ "username": self.latest().name });
        let answer = send(server, "delete/", &self.logins[login].token, &name);
        let answer = self.answer(answer, &[204, 401]);
        let deleted = answer.as_ref().is_some_and(|answer| answer.status == 204);
        self.counts.deleted += usize::from(deleted);
        self.latest().deleted = Some(acknowledged(deleted));
        self.logins[login].state = if answer.is_some() { SessionState::Ended } else { SessionState::Unknown };
    }

    /// Confirms the email by the mail that came after the registration.
    fn confirm(&mut self, server: SocketAddr) {
        let email = self.latest().email();
        let Some(link) = self.mail_folder.link(&email, CONFIRM) else { return };
        let body = json!({ "token": link, "password": PASSWORD });
        let verified = self.follow(server, "verify_email/", body);
        self.counts.confirmed += usize::from(verified == Some(Acknowledged::Yes));
        self.latest().verified = verified;
    }

    /// Sets another password by a link in a mail, which confirms the email as well.
    fn forget_password(&mut self, server: SocketAddr, login: usize) {
        let email = self.latest().email();
        let asked = send(server, "forgot_password/", "", &json!({ "email": email }));
        if self.answer(asked, &[200]).is_none() {
            return;
        }
        self.expect_mail(MailKind::Forgot, RESET);
        let Some(link) = self.mail_folder.link(&email, RESET) else { return };
        let body = json!({ "token": link, "new_password": CHANGED });
        let reset = self.follow(server, "reset_password/", body);
        (self.latest().verified, self.latest().changed) = (reset, reset);
        match reset {
            None => {}
            Some(Acknowledged::Unknown) => self.logins[login].state = SessionState::Unknown,
            Some(Acknowledged::Yes) => {
                self.counts.reset += 1;
                self.logins[login].state = SessionState::Ended;
                self.expect_mail(MailKind::PasswordReset, PASSWORD_CHANGED);
            }
        }
    }

    fn change_email(&mut self, server: SocketAddr, login: usize) {
        let email = self.latest().new_email();
        let asked = send(server, "change_email/", &self.logins[login].token, &json!({ "new_email": email }));
        if self.answer(asked, &[200, 401]).is_none_or(|answer| answer.status == 401) {
            return;
        }
        self.expect_mail_to(email.clone(), MailKind::ChangeEmail, CONFIRM_NEW);
        let Some(link) = self.mail_folder.link(&email, CONFIRM_NEW) else { return };
        let body = json!({ "token": link, "password": PASSWORD });
        let moved = self.follow(server, "confirm_email/", body);
        self.counts.moved += usize::from(moved == Some(Acknowledged::Yes));
        (self.latest().verified, self.latest().moved) = (moved, moved);
    }

    /// Follows a link. Returns `None` if the link doesn't work, because a mail that was sent again has a newer one.
    fn follow(&mut self, server: SocketAddr, path: &'static str, body: Value) -> Option<Acknowledged> {
        let answer = self.answer(send(server, path, "", &body), &[200, 410]);
        match answer.map(|answer| answer.status) {
            Some(200) => {
                self.used_links.push((path, body));
                Some(Acknowledged::Yes)
            }
            Some(_) => None,
            None => Some(Acknowledged::Unknown),
        }
    }

    fn latest(&mut self) -> &mut Account {
        self.accounts.last_mut().unwrap()
    }

    /// A login in the given state. Each call selects another one, both old and new.
    fn some_login(&self, state: SessionState) -> Option<usize> {
        let found: Vec<usize> = (0..self.logins.len()).filter(|n| self.logins[*n].state == state).collect();
        let nth = self.accounts.len() * 31 % found.len().max(1);
        found.get(nth).copied()
    }

    fn end_one(&mut self, server: SocketAddr) {
        let Some(n) = self.some_login(SessionState::Active) else { return };
        let answer = log_out(server, &self.logins[n].token);
        self.logins[n].state = match self.answer(answer, &[204, 401]).map(|answer| answer.status) {
            Some(204) => {
                self.counts.logged_out += 1;
                SessionState::Ended
            }
            Some(_) => self.lost(n),
            None => SessionState::Unknown,
        };
    }

    fn check_an_ended_login(&mut self, server: SocketAddr) {
        let Some(n) = self.some_login(SessionState::Ended) else { return };
        let answer = me(server, &self.logins[n].token);
        self.answer(answer, &[401]);
    }

    /// Records that a session that should be active isn't.
    fn lost(&mut self, n: usize) -> SessionState {
        self.counts.lost += 1;
        if !self.sessions_may_be_lost || self.logins[n].personal {
            self.faults.push(format!("login {n}: its token is invalid"));
        }
        SessionState::Ended
    }

    /// Returns the response if it has an expected status. A status that is neither expected nor "temporarily
    /// unavailable" is recorded as a fault.
    fn answer(&mut self, answer: Result<Whole, Failure>, expected: &[u16]) -> Option<Whole> {
        let answer = answer.ok()?;
        let found = expected.contains(&answer.status);
        if !found && answer.status != 503 {
            self.faults.push(format!("{} {}, not {expected:?}", answer.status, answer.body));
        }
        Some(answer).filter(|_| found)
    }

    /// Marks every login as ended: after a restore no token is valid, and everyone must log in again.
    pub fn end_every_login(&mut self) {
        self.logins.iter_mut().for_each(|login| login.state = SessionState::Ended);
    }

    /// Marks every change as unknown, after a backup that was made during the changes was restored. It may contain a
    /// change or not. A used link is invalid in any case.
    pub fn mark_changes_unknown(&mut self) {
        self.end_every_login();
        for account in &mut self.accounts {
            account.registered = Acknowledged::Unknown;
            for operation in [&mut account.changed, &mut account.deleted, &mut account.verified, &mut account.moved] {
                *operation = operation.map(|_| Acknowledged::Unknown);
            }
        }
    }

    /// Compares every entry with a server that is not killed meanwhile. Afterwards every account of this ledger exists.
    pub fn audit(&mut self, server: SocketAddr) -> Counts {
        for account in &self.accounts {
            if let Err(fault) = audit_account(server, account) {
                self.faults.push(format!("{account:?}: {fault}"));
            }
        }
        for n in 0..self.logins.len() {
            let found = me(server, &self.logins[n].token).map_or(0, |answer| answer.status);
            match (self.logins[n].state, found) {
                (SessionState::Active, 200) | (SessionState::Ended, 401) | (SessionState::Unknown, 200 | 401) => {}
                (SessionState::Active, 401) => self.logins[n].state = self.lost(n),
                (state, other) => self.faults.push(format!("login {n}: {state:?}, but the response is {other}")),
            }
        }
        for (path, body) in std::mem::take(&mut self.used_links) {
            let found = send(server, path, "", &body).map_or(0, |answer| answer.status);
            if found != 410 {
                self.faults.push(format!("a used link at {path} got the response {found}"));
            }
        }
        Counts { accounts: self.accounts.len(), expected_mails: self.expected_mails.len(), ..self.counts }
    }

    /// Checks that every expected mail has arrived or is still queued.
    pub fn audit_mail(&mut self, waiting: &[(String, String)]) {
        let absent = self.missing_from(waiting).into_iter();
        let lost = absent.filter(|mail| !self.mail_folder.has(&mail.address, mail.subject));
        let lost: Vec<String> = lost.map(|mail| format!("a mail is lost: {mail:?}")).collect();
        self.faults.extend(lost);
    }

    /// The expected mails that are missing from a list of kinds and addresses.
    pub fn missing_from(&self, mails: &[(String, String)]) -> Vec<&ExpectedMail> {
        let listed = |mail: &ExpectedMail| {
            mails.iter().any(|(kind, address)| *kind == mail.kind.name() && *address == mail.address)
        };
        self.expected_mails.iter().filter(|mail| !listed(mail)).collect()
    }
}

fn send(server: SocketAddr, path: &str, token: &str, body: &Value) -> Result<Whole, Failure> {
    call(server, "POST", path, token, &body.to_string())
}

fn acknowledged(yes: bool) -> Acknowledged {
    if yes { Acknowledged::Yes } else { Acknowledged::Unknown }
}

/// The possible values of something that was changed, or may have been.
fn possible<T>(changed: Option<Acknowledged>, before: T, after: T) -> Vec<T> {
    match changed {
        None => vec![before],
        Some(Acknowledged::Yes) => vec![after],
        Some(Acknowledged::Unknown) => vec![before, after],
    }
}

/// Checks that a user can log in to an account by its username and one of its emails, with exactly one password.
/// Otherwise the account must not exist, and nothing of it may remain.
fn audit_account(server: SocketAddr, account: &Account) -> Result<(), String> {
    let Account { name, registered, changed, deleted, verified, moved } = account;
    let (emails, passwords) =
        (possible(*moved, account.email(), account.new_email()), possible(*changed, PASSWORD, CHANGED));
    let mut accepted = 0;
    // Each attempt costs a hash. The second password is therefore tried only if a change was requested.
    for password in [PASSWORD, CHANGED].into_iter().filter(|password| *password == PASSWORD || changed.is_some()) {
        let status = |by: &str| log_in_with(server, by, password).map_or(0, |answer| answer.status);
        let opened = log_in_with(server, name, password).map_err(|failure| format!("{failure:?}"))?;
        let by_old = status(&account.email());
        let by_new = if moved.is_some() { status(&account.new_email()) } else { 400 };
        match (opened.status, by_old, by_new) {
            (200, 200, 400) | (200, 400, 200) if passwords.contains(&password) => {
                accepted += 1;
                let email = if by_old == 200 { account.email() } else { account.new_email() };
                let confirmed = possible(*verified, false, true);
                check_identity(server, &opened, (name, &email), &confirmed)?;
                check_history(server, &opened, password == CHANGED, email == account.new_email())?;
                if !emails.contains(&email) {
                    return Err(format!("its email is {email}"));
                }
            }
            (400, 400, 400) => {}
            other => return Err(format!("logging in by username and by emails with {password:?}: {other:?}")),
        }
    }
    let may_live = *deleted != Some(Acknowledged::Yes);
    let must_live = *registered == Acknowledged::Yes && deleted.is_none();
    match accepted {
        1 if may_live => Ok(()),
        0 if !must_live => match register(server, name).map(|made| made.status) {
            Ok(200) => Ok(()),
            other => Err(format!("part of an account remains: {other:?}")),
        },
        other => Err(format!("{other} passwords are accepted")),
    }
}

/// Checks that the history of an account has the events of its changes, and no others.
fn check_history(server: SocketAddr, login: &Whole, password_changed: bool, email_changed: bool) -> Result<(), String> {
    let json = login.json();
    let token = json["token"].as_str().unwrap_or_default();
    let get = |path: &str| call(server, "GET", path, token, "").map(|answer| answer.json());
    let found = get("history/?limit=200").and_then(|history| Ok((history, get("me/")?)));
    let (history, who) = found.map_err(|failure| format!("{failure:?}"))?;
    let events = history["events"].as_array().cloned().unwrap_or_default();
    let count = |names: &[&str]| events.iter().filter(|event| names.iter().any(|name| event["name"] == **name)).count();
    let registered = count(&["account.register"]);
    if history["next"].is_null() && registered != 1 {
        return Err(format!("it has {registered} events of its registration"));
    }
    let changes = [
        (password_changed, &["password.change", "password.reset"][..]),
        (email_changed, &["email.change"]),
        (who["email_verified"] == true, &["email.verify", "password.reset", "email.change"]),
    ];
    for (changed, names) in changes {
        if history["next"].is_null() && changed != (count(names) > 0) {
            return Err(format!("changed: {changed}, but the history has {} of {names:?}", count(names)));
        }
    }
    Ok(())
}

fn check_identity(
    server: SocketAddr,
    login: &Whole,
    (name, email): (&str, &str),
    confirmed: &[bool],
) -> Result<(), String> {
    let json = login.json();
    let who = me(server, json["token"].as_str().unwrap_or_default()).map(|answer| answer.json());
    let who = who.map_err(|failure| format!("{failure:?}"))?;
    let same = who["username"] == *name && who["email"] == *email;
    let confirmed = who["email_verified"].as_bool().is_some_and(|is| confirmed.contains(&is));
    (same && confirmed).then_some(()).ok_or_else(|| format!("the login is to another account: {who}"))
}
