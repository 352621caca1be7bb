//! What was acknowledged, and whether it is so.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::util::{
    PASSWORD,
    client::{Failure, Whole, call, log_in, log_in_with, log_out, me, register},
};

/// What a password is changed to.
const CHANGED: &str = "walrus orchard lantern";

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
    Living,
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
}

/// One client's book.
pub struct Ledger {
    client: usize,
    /// Whether an end of the database may cost the last sessions: on PostgreSQL, where logins don't wait for its log.
    sessions_may_be_lost: bool,
    accounts: Vec<Account>,
    logins: Vec<Login>,
    counts: Counts,
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
    /// Acknowledged logins whose sessions are gone.
    pub lost: usize,
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
            lost: sum.lost + one.lost,
        })
    }
}

impl Ledger {
    pub fn new(client: usize, sessions_may_be_lost: bool) -> Self {
        let (accounts, logins, faults, counts) = (vec![], vec![], vec![], Counts::default());
        Self { client, sessions_may_be_lost, accounts, logins, counts, faults }
    }

    /// One round of what people do: one registers and logs in, and then makes a token, changes the password, or leaves; every
    /// other time one of those before logs out, and one who has is still out. Whether the registration was acknowledged.
    pub fn write(&mut self, server: SocketAddr) -> bool {
        let name = format!("user{}-{}", self.client, self.accounts.len());
        let answer = register(server, &name);
        if answer.as_ref().is_err_and(|failure| *failure == Failure::Refused) {
            std::thread::yield_now();
            return false;
        }
        let registered = acknowledged(self.answer(answer, &[200]).is_some());
        self.accounts.push(Account { name: name.clone(), registered, changed: None, deleted: None });
        if registered == Acknowledged::Unknown {
            return false;
        }
        self.counts.registered += 1;
        if let Some(answer) = self.answer(log_in(server, &name), &[200]) {
            self.counts.logged_in += 1;
            self.keep(&answer, false);
            self.use_account(server);
        }
        if self.accounts.len().is_multiple_of(2) {
            self.end_one(server);
            self.look_at_one_that_ended(server);
        }
        true
    }

    fn keep(&mut self, answer: &Whole, personal: bool) {
        let token = answer.json()["token"].as_str().unwrap_or_default().to_owned();
        self.logins.push(Login { token, life: Life::Living, personal });
    }

    /// What the latest login does with its account.
    fn use_account(&mut self, server: SocketAddr) {
        let (nth, login) = (self.accounts.len() - 1, self.logins.len() - 1);
        let send = |path, body: Value| call(server, "POST", path, &self.logins[login].token, &body.to_string());
        // By logins, not by accounts: between two kills a client gets as far as two of those, and would always do the same.
        match (self.client + self.counts.logged_in) % 4 {
            0 => {
                let answer = send("tokens/", json!({ "name": "backup", "scope": "full", "days": 30 }));
                if let Some(answer) = self.answer(answer, &[200, 401]).filter(|answer| answer.status == 200) {
                    self.counts.issued += 1;
                    self.keep(&answer, true);
                }
            }
            1 => {
                let answer = send("change_password/", json!({ "current_password": PASSWORD, "new_password": CHANGED }));
                let answer = self.answer(answer, &[200, 401]);
                let token = answer.as_ref().and_then(|answer| answer.json()["token"].as_str().map(str::to_owned));
                self.accounts[nth].changed = Some(acknowledged(token.is_some()));
                // The session goes on under another token, of which nobody heard if the answer got lost.
                self.logins[login].life = if answer.is_some() { Life::Ended } else { Life::Unknown };
                if let (Some(answer), Some(_)) = (answer, token) {
                    self.counts.changed += 1;
                    self.keep(&answer, false);
                }
            }
            2 => {
                let answer = self.answer(send("delete/", json!({ "username": self.accounts[nth].name })), &[204, 401]);
                let deleted = answer.as_ref().is_some_and(|answer| answer.status == 204);
                self.counts.deleted += usize::from(deleted);
                self.accounts[nth].deleted = Some(acknowledged(deleted));
                self.logins[login].life = if answer.is_some() { Life::Ended } else { Life::Unknown };
            }
            _ => {}
        }
    }

    /// One of those in a given state, another one each time, of old ones and young ones.
    fn some_login(&self, life: Life) -> Option<usize> {
        let found: Vec<usize> = (0..self.logins.len()).filter(|n| self.logins[*n].life == life).collect();
        let nth = self.accounts.len() * 31 % found.len().max(1);
        found.get(nth).copied()
    }

    fn end_one(&mut self, server: SocketAddr) {
        let Some(n) = self.some_login(Life::Living) else { return };
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
                (Life::Living, 200) | (Life::Ended, 401) | (Life::Unknown, 200 | 401) => {}
                (Life::Living, 401) => self.logins[n].life = self.lost(n),
                (life, other) => self.faults.push(format!("login {n}: {life:?}, and the answer is {other}")),
            }
        }
        Counts { accounts: self.accounts.len(), ..self.counts }
    }
}

fn acknowledged(yes: bool) -> Acknowledged {
    if yes { Acknowledged::Yes } else { Acknowledged::Unknown }
}

/// An account logs in by both of its names, with one password, and is who it is; or it isn't there, and then nothing of it is.
fn audit_account(server: SocketAddr, account: &Account) -> Result<(), String> {
    let Account { name, registered, changed, deleted } = account;
    let email = format!("{name}@example.org");
    let passwords: &[&str] = match changed {
        None => &[PASSWORD],
        Some(Acknowledged::Yes) => &[CHANGED],
        Some(Acknowledged::Unknown) => &[CHANGED, PASSWORD],
    };
    let mut living = 0;
    // A wrong one only where it was changed: each costs a hash.
    for password in [PASSWORD, CHANGED].into_iter().filter(|password| *password == PASSWORD || changed.is_some()) {
        let found = [name, email.as_str()].map(|by| log_in_with(server, by, password));
        match found.each_ref().map(|answer| answer.as_ref().map_or(0, |answer| answer.status)) {
            [200, 200] if passwords.contains(&password) => {
                living += 1;
                found.into_iter().flatten().try_for_each(|answer| is_who_it_is(server, name, &answer))?;
            }
            [400, 400] => {}
            other => return Err(format!("logging in by username and by email with {password:?}: {other:?}")),
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

fn is_who_it_is(server: SocketAddr, name: &str, login: &Whole) -> Result<(), String> {
    let json = login.json();
    let who = me(server, json["token"].as_str().unwrap_or_default()).map(|answer| answer.json());
    let who = who.map_err(|failure| format!("{failure:?}"))?;
    let same = who["username"] == *name && who["email"] == format!("{name}@example.org");
    same.then_some(()).ok_or_else(|| format!("the account is another one: {who}"))
}
