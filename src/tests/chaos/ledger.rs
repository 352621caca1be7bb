//! What was acknowledged, and whether it is so.

use std::net::SocketAddr;

use super::client::{Failure, Whole, log_in, log_out, me, register};

/// Whether an acknowledgement came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Given,
    /// No whole answer came back, or that the database is away: it may have been done or not.
    Unknown,
}

struct Login {
    token: String,
    ended: Option<Word>,
}

/// One client's book.
pub struct Ledger {
    client: usize,
    /// Whether an end of the database may cost the last sessions: on PostgreSQL, where logins don't wait for its log.
    sessions_may_be_lost: bool,
    accounts: Vec<(String, Word)>,
    logins: Vec<Login>,
    /// What must never be.
    pub faults: Vec<String>,
}

/// How much there is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Registrations that were acknowledged.
    pub registered: usize,
    /// Registrations of which no answer came.
    pub unknown: usize,
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
            registered: sum.registered + one.registered,
            unknown: sum.unknown + one.unknown,
            logged_in: sum.logged_in + one.logged_in,
            logged_out: sum.logged_out + one.logged_out,
            lost: sum.lost + one.lost,
        })
    }
}

impl Ledger {
    pub fn new(client: usize, sessions_may_be_lost: bool) -> Self {
        Self { client, sessions_may_be_lost, accounts: vec![], logins: vec![], faults: vec![] }
    }

    pub fn counts(&self) -> Counts {
        let registered = self.accounts.iter().filter(|(_, word)| *word == Word::Given).count();
        Counts {
            registered,
            unknown: self.accounts.len() - registered,
            logged_in: self.logins.len(),
            logged_out: self.logins.iter().filter(|login| login.ended == Some(Word::Given)).count(),
            lost: 0,
        }
    }

    /// One round of what a person does: register, log in, and every other time log out. Whether the first was acknowledged.
    pub fn write(&mut self, server: SocketAddr) -> bool {
        let name = format!("user{}-{}", self.client, self.accounts.len());
        let answer = register(server, &name);
        if answer.as_ref().is_err_and(|failure| *failure == Failure::Refused) {
            std::thread::yield_now();
            return false;
        }
        let registered = self.answer(answer, 200).is_some();
        self.accounts.push((name.clone(), if registered { Word::Given } else { Word::Unknown }));
        if !registered {
            return false;
        }
        let Some(answer) = self.answer(log_in(server, &name), 200) else { return true };
        let token = answer.json()["token"].as_str().unwrap_or_default().to_owned();
        let mut ended = None;
        if self.logins.len() % 2 == 1 {
            let answer = log_out(server, &token);
            let lost = answer.as_ref().is_ok_and(|answer| answer.status == 401) && self.sessions_may_be_lost;
            let acknowledged = !lost && self.answer(answer, 204).is_some();
            ended = Some(if acknowledged { Word::Given } else { Word::Unknown });
        }
        self.logins.push(Login { token, ended });
        true
    }

    /// The answer, if it is the acknowledgement. An answer that is neither that nor "not just now" is a fault.
    fn answer(&mut self, answer: Result<Whole, Failure>, acknowledged: u16) -> Option<Whole> {
        let answer = answer.ok()?;
        if ![acknowledged, 503].contains(&answer.status) {
            self.faults.push(format!("{} {}", answer.status, answer.body));
        }
        Some(answer).filter(|answer| answer.status == acknowledged)
    }

    /// Compares every entry with a server that runs undisturbed. Returns the counts.
    pub fn audit(&mut self, server: SocketAddr) -> Counts {
        let mut counts = self.counts();
        for (name, word) in &self.accounts {
            let found = log_in(server, name).map_or(0, |answer| answer.status);
            match (word, found) {
                (_, 200) => {}
                // It was never made. Then nothing of it may be there.
                (Word::Unknown, 400) => match register(server, name).map_or(0, |answer| answer.status) {
                    200 => {}
                    other => self.faults.push(format!("{name}: half an account ({other})")),
                },
                (word, other) => self.faults.push(format!("{name}, whose acknowledgement is {word:?}: {other}")),
            }
        }
        for login in &self.logins {
            let found = me(server, &login.token).map_or(0, |answer| answer.status);
            match (login.ended, found) {
                (None, 200) | (Some(Word::Given), 401) | (Some(Word::Unknown), 200 | 401) => {}
                (None, 401) if self.sessions_may_be_lost => counts.lost += 1,
                (ended, other) => self.faults.push(format!("a session whose logout is {ended:?}: {other}")),
            }
        }
        counts
    }
}
