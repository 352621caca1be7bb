//! What was acknowledged, and whether it is so.

use std::net::SocketAddr;

use crate::util::client::{Failure, Whole, log_in, log_out, me, register};

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
}

/// One client's book.
pub struct Ledger {
    client: usize,
    /// Whether an end of the database may cost the last sessions: on PostgreSQL, where logins don't wait for its log.
    sessions_may_be_lost: bool,
    accounts: Vec<(String, Acknowledged)>,
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
            lost: sum.lost + one.lost,
        })
    }
}

impl Ledger {
    pub fn new(client: usize, sessions_may_be_lost: bool) -> Self {
        let (accounts, logins, faults, counts) = (vec![], vec![], vec![], Counts::default());
        Self { client, sessions_may_be_lost, accounts, logins, counts, faults }
    }

    /// One round of what people do: one registers and logs in; every other time one of those before logs out, and one who
    /// has is still out. Whether the registration was acknowledged.
    pub fn write(&mut self, server: SocketAddr) -> bool {
        let name = format!("user{}-{}", self.client, self.accounts.len());
        let answer = register(server, &name);
        if answer.as_ref().is_err_and(|failure| *failure == Failure::Refused) {
            std::thread::yield_now();
            return false;
        }
        let registered = self.answer(answer, &[200]).is_some();
        self.accounts.push((name.clone(), if registered { Acknowledged::Yes } else { Acknowledged::Unknown }));
        if !registered {
            return false;
        }
        self.counts.registered += 1;
        if let Some(answer) = self.answer(log_in(server, &name), &[200]) {
            self.counts.logged_in += 1;
            let token = answer.json()["token"].as_str().unwrap_or_default().to_owned();
            self.logins.push(Login { token, life: Life::Living });
        }
        if self.accounts.len().is_multiple_of(2) {
            self.end_one(server);
            self.look_at_one_that_ended(server);
        }
        true
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
        if !self.sessions_may_be_lost {
            self.faults.push(format!("login {n}: its session is lost"));
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
        for (name, acknowledged) in &self.accounts {
            if let Err(fault) = audit_account(server, name, *acknowledged) {
                self.faults.push(format!("{name}, whose acknowledgement is {acknowledged:?}: {fault}"));
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

/// An account logs in by both of its names, and is who it is; or it was never made, and then nothing of it is there.
fn audit_account(server: SocketAddr, name: &str, acknowledged: Acknowledged) -> Result<(), String> {
    let email = format!("{name}@example.org");
    let found = [name, email.as_str()].map(|by| log_in(server, by));
    match found.each_ref().map(|answer| answer.as_ref().map_or(0, |answer| answer.status)) {
        [200, 200] => found.into_iter().flatten().try_for_each(|answer| {
            let json = answer.json();
            let who = me(server, json["token"].as_str().unwrap_or_default()).map(|answer| answer.json());
            let who = who.map_err(|failure| format!("{failure:?}"))?;
            let same = who["username"] == name && who["email"] == email.as_str();
            same.then_some(()).ok_or_else(|| format!("the account is another one: {who}"))
        }),
        [400, 400] if acknowledged == Acknowledged::Unknown => match register(server, name).map(|made| made.status) {
            Ok(200) => Ok(()),
            other => Err(format!("half an account: {other:?}")),
        },
        other => Err(format!("logging in by username and by email: {other:?}")),
    }
}
