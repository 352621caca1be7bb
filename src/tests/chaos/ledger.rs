//! What was acknowledged, and whether it is so.

use std::{fmt, net::SocketAddr};

use serde_json::{Value, json};
use vestibule::store::MailKind;

use super::mailroom::Mailroom;
use crate::util::{
    PASSWORD,
    client::{Failure, Whole, call, log_in, log_in_with, log_out, me, register},
};

/// What a password is changed to.
const CHANGED: &str = "walrus orchard lantern";

/// Mails, by what their subjects begin with.
const CONFIRM: &str = "Confirm your email";
const RESET: &str = "Choose a new password";
const CONFIRM_NEW: &str = "Confirm your new email";
const PASSWORD_CHANGED: &str = "Your password";
const TOKEN_MADE: &str = "A new access token";

/// Whether an acknowledgement came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledged {
    Yes,
    /// No whole answer came back, or that the database is away: it may have been done or not.
    Unknown,
}

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Active,
    /// Its logout was not acknowledged.
    Unknown,
    /// For ever.
    Ended,
}

struct Login {
    token: String,
    life: Life,
    /// Whether it is a personal access token: no end of the database may cost one of those.
    personal: bool,
}

/// An account that somebody tried to register.
#[derive(Debug)]
struct Account {
    name: String,
    registered: Acknowledged,
    /// Whether its password was changed, if somebody tried to.
    changed: Option<Acknowledged>,
    /// Whether it was deleted, if somebody tried to.
    deleted: Option<Acknowledged>,
    /// Whether its email was confirmed, if somebody tried to.
    verified: Option<Acknowledged>,
    /// Whether it has another email, if somebody tried that.
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

/// A mail that must arrive: where, of which kind it is in the database, and what its subject begins with.
#[derive(Debug)]
pub struct Promise {
    address: String,
    errand: MailKind,
    subject: &'static str,
}

/// One client's book.
pub struct Ledger<'a> {
    client: usize,
    mailroom: &'a Mailroom,
    /// Whether an end of the database may cost the last sessions: on PostgreSQL, where logins don't wait for its log.
    sessions_may_be_lost: bool,
    accounts: Vec<Account>,
    logins: Vec<Login>,
    /// Links that were followed and work no more: where, and what was sent there.
    spent: Vec<(&'static str, Value)>,
    promised: Vec<Promise>,
    pub counts: Counts,
    /// What must never be.
    pub faults: Vec<String>,
}

/// How much there is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accounts that somebody tried to register.
    pub accounts: usize,
    /// Registrations that were acknowledged.
    pub registered: usize,
    /// Logins that were acknowledged.
    pub logged_in: usize,
    /// Logouts that were acknowledged.
    pub logged_out: usize,
    /// Changes of a password that were acknowledged.
    pub changed: usize,
    /// Personal access tokens that were acknowledged.
    pub issued: usize,
    /// Deletions that were acknowledged.
    pub deleted: usize,
    /// Emails that were confirmed by a link, acknowledged.
    pub confirmed: usize,
    /// Passwords that were set by a link, acknowledged.
    pub reset: usize,
    /// Emails that were changed by a link, acknowledged.
    pub moved: usize,
    /// Mails that were promised by an acknowledgement.
    pub promised: usize,
    /// Acknowledged logins whose sessions are gone.
    pub lost: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accounts, registered, logged_in, logged_out, changed, issued, deleted, .. } = self;
        let Self { confirmed, reset, moved, promised, lost, .. } = self;
        write!(
            f,
            "{registered} registrations, {logged_out} logouts, {changed} changes of a password, {issued} access tokens, \
             {confirmed} emails confirmed, {reset} passwords set and {moved} emails changed by links from mails, and {deleted} \
             deletions were acknowledged and held, {promised} mails had to go out, {} registrations got no acknowledgement; of \
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
            promised: sum.promised + one.promised,
            lost: sum.lost + one.lost,
        })
    }
}

impl<'a> Ledger<'a> {
    pub fn new(client: usize, mailroom: &'a Mailroom, sessions_may_be_lost: bool) -> Self {
        let (accounts, logins, spent, promised) = (vec![], vec![], vec![], vec![]);
        let (faults, counts) = (vec![], Counts::default());
        Self { client, mailroom, sessions_may_be_lost, accounts, logins, spent, promised, counts, faults }
    }

    /// One round of what people do: one registers and logs in, and then does something with the account; every other time one
    /// of those before logs out, and one who has is still out. Whether the registration was acknowledged.
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
            self.promise(MailKind::Verify, CONFIRM);
        }
        if self.accounts.len().is_multiple_of(2) {
            self.end_one(server);
            self.look_at_one_that_ended(server);
        }
        true
    }

    fn keep(&mut self, answer: &Whole, personal: bool) {
        let token = answer.json()["token"].as_str().unwrap_or_default().to_owned();
        self.logins.push(Login { token, life: Life::Active, personal });
    }

    /// A mail to the latest account is owed.
    fn promise(&mut self, errand: MailKind, subject: &'static str) {
        let address = self.latest().email();
        self.promise_to(address, errand, subject);
    }

    fn promise_to(&mut self, address: String, errand: MailKind, subject: &'static str) {
        self.promised.push(Promise { address, errand, subject });
    }

    /// What the latest login does with its account. Whether the mail that confirms the email is still owed: not to whoever leaves,
    /// or proves an email by another mail.
    fn use_account(&mut self, server: SocketAddr) -> bool {
        let login = self.logins.len() - 1;
        // By logins, not by accounts: between two kills a client gets as far as two of those, and would always do the same.
        let act = (self.client + self.counts.logged_in) % 6;
        match act {
            0 => self.make_token(server, login),
            1 => self.change_password(server, login),
            2 => self.delete(server, login),
            3 => self.confirm(server),
            4 => self.forget_password(server, login),
            _ => self.change_email(server, login),
        }
        ![2, 4, 5].contains(&act)
    }

    fn make_token(&mut self, server: SocketAddr, login: usize) {
        let wish = json!({ "name": "backup", "scope": "full", "days": 30 });
        let answer = send(server, "tokens/", &self.logins[login].token, &wish);
        if let Some(answer) = self.answer(answer, &[200, 401]).filter(|answer| answer.status == 200) {
            self.counts.issued += 1;
            self.keep(&answer, true);
            self.promise(MailKind::TokenMade, TOKEN_MADE);
        }
    }

    fn change_password(&mut self, server: SocketAddr, login: usize) {
        let passwords = json!({ "current_password": PASSWORD, "new_password": CHANGED });
        let answer = send(server, "change_password/", &self.logins[login].token, &passwords);
        let answer = self.answer(answer, &[200, 401]);
        let done = answer.as_ref().is_some_and(|answer| answer.status == 200);
        self.latest().changed = Some(acknowledged(done));
        // The session goes on under another token, of which nobody heard if the answer got lost.
        self.logins[login].life = if answer.is_some() { Life::Ended } else { Life::Unknown };
        if let Some(answer) = answer.filter(|_| done) {
            self.counts.changed += 1;
            self.keep(&answer, false);
            self.promise(MailKind::PasswordChanged, PASSWORD_CHANGED);
        }
    }

    fn delete(&mut self, server: SocketAddr, login: usize) {
        let name = json!({ "username": self.latest().name });
        let answer = send(server, "delete/", &self.logins[login].token, &name);
        let answer = self.answer(answer, &[204, 401]);
        let deleted = answer.as_ref().is_some_and(|answer| answer.status == 204);
        self.counts.deleted += usize::from(deleted);
        self.latest().deleted = Some(acknowledged(deleted));
        self.logins[login].life = if answer.is_some() { Life::Ended } else { Life::Unknown };
    }

    /// Confirms the email by the mail that came after the registration.
    fn confirm(&mut self, server: SocketAddr) {
        let email = self.latest().email();
        let Some(link) = self.mailroom.link(&email, CONFIRM) else { return };
        let body = json!({ "token": link, "password": PASSWORD });
        let verified = self.follow(server, "verify_email/", body);
        self.counts.confirmed += usize::from(verified == Some(Acknowledged::Yes));
        self.latest().verified = verified;
    }

    /// Sets another password by a mail, whose link confirms the email as well.
    fn forget_password(&mut self, server: SocketAddr, login: usize) {
        let email = self.latest().email();
        let asked = send(server, "forgot_password/", "", &json!({ "email": email }));
        if self.answer(asked, &[200]).is_none() {
            return;
        }
        self.promise(MailKind::Forgot, RESET);
        let Some(link) = self.mailroom.link(&email, RESET) else { return };
        let body = json!({ "token": link, "new_password": CHANGED });
        let reset = self.follow(server, "reset_password/", body);
        (self.latest().verified, self.latest().changed) = (reset, reset);
        match reset {
            None => {}
            Some(Acknowledged::Unknown) => self.logins[login].life = Life::Unknown,
            Some(Acknowledged::Yes) => {
                self.counts.reset += 1;
                self.logins[login].life = Life::Ended;
                self.promise(MailKind::PasswordReset, PASSWORD_CHANGED);
            }
        }
    }

    fn change_email(&mut self, server: SocketAddr, login: usize) {
        let email = self.latest().new_email();
        let asked = send(server, "change_email/", &self.logins[login].token, &json!({ "new_email": email }));
        if self.answer(asked, &[200, 401]).is_none_or(|answer| answer.status == 401) {
            return;
        }
        self.promise_to(email.clone(), MailKind::ChangeEmail, CONFIRM_NEW);
        let Some(link) = self.mailroom.link(&email, CONFIRM_NEW) else { return };
        let body = json!({ "token": link, "password": PASSWORD });
        let moved = self.follow(server, "confirm_email/", body);
        self.counts.moved += usize::from(moved == Some(Acknowledged::Yes));
        (self.latest().verified, self.latest().moved) = (moved, moved);
    }

    /// Follows a link. `None` if it doesn't work, for a mail that went out again has a younger one.
    fn follow(&mut self, server: SocketAddr, path: &'static str, body: Value) -> Option<Acknowledged> {
        let answer = self.answer(send(server, path, "", &body), &[200, 410]);
        match answer.map(|answer| answer.status) {
            Some(200) => {
                self.spent.push((path, body));
                Some(Acknowledged::Yes)
            }
            Some(_) => None,
            None => Some(Acknowledged::Unknown),
        }
    }

    fn latest(&mut self) -> &mut Account {
        self.accounts.last_mut().unwrap()
    }

    /// One of those in a given state, another one each time, of old ones and young ones.
    fn some_login(&self, life: Life) -> Option<usize> {
        let found: Vec<usize> = (0..self.logins.len()).filter(|n| self.logins[*n].life == life).collect();
        let nth = self.accounts.len() * 31 % found.len().max(1);
        found.get(nth).copied()
    }

    fn end_one(&mut self, server: SocketAddr) {
        let Some(n) = self.some_login(Life::Active) else { return };
        let answer = log_out(server, &self.logins[n].token);
        self.logins[n].life = match self.answer(answer, &[204, 401]).map(|answer| answer.status) {
            Some(204) => {
                self.counts.logged_out += 1;
                Life::Ended
            }
            Some(_) => self.lost(n),
            None => Life::Unknown,
        };
    }

    fn look_at_one_that_ended(&mut self, server: SocketAddr) {
        let Some(n) = self.some_login(Life::Ended) else { return };
        let answer = me(server, &self.logins[n].token);
        self.answer(answer, &[401]);
    }

    /// A session that should live doesn't.
    fn lost(&mut self, n: usize) -> Life {
        self.counts.lost += 1;
        if !self.sessions_may_be_lost || self.logins[n].personal {
            self.faults.push(format!("login {n}: what its token opens is lost"));
        }
        Life::Ended
    }

    /// The answer, if it is one of those that may be. One that is neither of them nor "not just now" is a fault.
    fn answer(&mut self, answer: Result<Whole, Failure>, expected: &[u16]) -> Option<Whole> {
        let answer = answer.ok()?;
        let found = expected.contains(&answer.status);
        if !found && answer.status != 503 {
            self.faults.push(format!("{} {}, not {expected:?}", answer.status, answer.body));
        }
        Some(answer).filter(|_| found)
    }

    /// After a restore nothing opens anything any more, and everybody logs in anew.
    pub fn end_every_login(&mut self) {
        self.logins.iter_mut().for_each(|login| login.life = Life::Ended);
    }

    /// After a restore of a backup that was made meanwhile each of these acts was done, or wasn't. A used link is gone in any
    /// case.
    pub fn doubt_everything(&mut self) {
        self.end_every_login();
        for account in &mut self.accounts {
            account.registered = Acknowledged::Unknown;
            for act in [&mut account.changed, &mut account.deleted, &mut account.verified, &mut account.moved] {
                *act = act.map(|_| Acknowledged::Unknown);
            }
        }
    }

    /// Compares every entry with a server that runs undisturbed. Afterwards every account of this ledger is there.
    pub fn audit(&mut self, server: SocketAddr) -> Counts {
        for account in &self.accounts {
            if let Err(fault) = audit_account(server, account) {
                self.faults.push(format!("{account:?}: {fault}"));
            }
        }
        for n in 0..self.logins.len() {
            let found = me(server, &self.logins[n].token).map_or(0, |answer| answer.status);
            match (self.logins[n].life, found) {
                (Life::Active, 200) | (Life::Ended, 401) | (Life::Unknown, 200 | 401) => {}
                (Life::Active, 401) => self.logins[n].life = self.lost(n),
                (life, other) => self.faults.push(format!("login {n}: {life:?}, and the answer is {other}")),
            }
        }
        for (path, body) in std::mem::take(&mut self.spent) {
            let found = send(server, path, "", &body).map_or(0, |answer| answer.status);
            if found != 410 {
                self.faults.push(format!("a link that was used at {path} is answered by {found}"));
            }
        }
        Counts { accounts: self.accounts.len(), promised: self.promised.len(), ..self.counts }
    }

    /// Every mail that was promised has arrived, or is among those that wait.
    pub fn audit_mail(&mut self, waiting: &[(String, String)]) {
        let absent = self.missing_from(waiting).into_iter();
        let lost = absent.filter(|promise| !self.mailroom.has(&promise.address, promise.subject));
        let lost: Vec<String> = lost.map(|promise| format!("a mail is lost: {promise:?}")).collect();
        self.faults.extend(lost);
    }

    /// The promised mails that are missing from a list of kinds and addresses.
    pub fn missing_from(&self, mails: &[(String, String)]) -> Vec<&Promise> {
        let listed = |promise: &Promise| {
            mails.iter().any(|(kind, address)| *kind == promise.errand.name() && *address == promise.address)
        };
        self.promised.iter().filter(|promise| !listed(promise)).collect()
    }
}

fn send(server: SocketAddr, path: &str, token: &str, body: &Value) -> Result<Whole, Failure> {
    call(server, "POST", path, token, &body.to_string())
}

fn acknowledged(yes: bool) -> Acknowledged {
    if yes { Acknowledged::Yes } else { Acknowledged::Unknown }
}

/// The values that something may have that was changed, or perhaps.
fn possible<T>(changed: Option<Acknowledged>, before: T, after: T) -> Vec<T> {
    match changed {
        None => vec![before],
        Some(Acknowledged::Yes) => vec![after],
        Some(Acknowledged::Unknown) => vec![before, after],
    }
}

/// An account logs in by its username and one of its emails, with one password, and is who it is; or it isn't there, and then
/// nothing of it is.
fn audit_account(server: SocketAddr, account: &Account) -> Result<(), String> {
    let Account { name, registered, changed, deleted, verified, moved } = account;
    let (emails, passwords) =
        (possible(*moved, account.email(), account.new_email()), possible(*changed, PASSWORD, CHANGED));
    let mut living = 0;
    // What is wrong only where it was changed: each costs a hash.
    for password in [PASSWORD, CHANGED].into_iter().filter(|password| *password == PASSWORD || changed.is_some()) {
        let status = |by: &str| log_in_with(server, by, password).map_or(0, |answer| answer.status);
        let opened = log_in_with(server, name, password).map_err(|failure| format!("{failure:?}"))?;
        let by_old = status(&account.email());
        let by_new = if moved.is_some() { status(&account.new_email()) } else { 400 };
        match (opened.status, by_old, by_new) {
            (200, 200, 400) | (200, 400, 200) if passwords.contains(&password) => {
                living += 1;
                let email = if by_old == 200 { account.email() } else { account.new_email() };
                let confirmed = possible(*verified, false, true);
                is_who_it_is(server, &opened, (name, &email), &confirmed)?;
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
    match living {
        1 if may_live => Ok(()),
        0 if !must_live => match register(server, name).map(|made| made.status) {
            Ok(200) => Ok(()),
            other => Err(format!("half an account: {other:?}")),
        },
        other => Err(format!("{other} passwords open it")),
    }
}

fn is_who_it_is(
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
    (same && confirmed).then_some(()).ok_or_else(|| format!("the account is another one: {who}"))
}
