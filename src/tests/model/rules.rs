//! The rules of accounts, sessions and failed logins, told once more, without a database, a hash or a cache.

use std::{collections::HashMap, time::Duration};

use vestibule::store::Errand;

use super::{
    mail::PostOffice,
    numbers::{ABSOLUTE, FIRST_DELAY, FREE_FAILURES, IDLE, LONGEST_DELAY, MEMORY, SEEN_INTERVAL, SESSIONS},
    own::Access,
    step::{Answer, By, Command, MOMENT, Person, Phrase, Step},
};

pub struct Account {
    pub email: Person,
    pub username: Person,
    pub password: Phrase,
    pub verified: bool,
    pub open: bool,
    pub left: bool,
}

pub struct Session {
    pub account: usize,
    pub begun: Duration,
    pub seen: Duration,
    pub proven: Duration,
    pub ended: bool,
}

/// Whose failed logins are counted: an account's, or those of a name that is nobody's.
#[derive(PartialEq, Eq, Hash)]
pub enum Counted {
    Account(usize),
    Ghost(By, Person),
}

#[derive(Default)]
pub struct Model {
    pub now: Duration,
    pub accounts: Vec<Account>,
    pub sessions: Vec<Session>,
    pub failures: HashMap<Counted, Vec<Duration>>,
    pub access: Vec<Access>,
    pub post_office: PostOffice,
}

impl Model {
    /// What must come of a step. Each takes a moment.
    pub fn take(&mut self, step: Step) -> Answer {
        self.now += MOMENT;
        match step {
            Step::Register { email, username, password } => {
                match (self.find(By::Email, email), self.find(By::Username, username)) {
                    (_, Some(_)) => return Answer::Invalid,
                    (Some(owner), None) => self.post(Errand::Taken, Some(owner), email),
                    (None, None) => {
                        self.post(Errand::Verify, Some(self.accounts.len()), email);
                        let new = Account { email, username, password, verified: false, open: true, left: false };
                        self.accounts.push(new);
                    }
                }
            }
            Step::LogIn { by, who, password } => return self.log_in(by, who, password),
            Step::Check { since } => {
                let account = self.authenticate(since).map(|n| self.sessions[n].account);
                return account.map_or(Answer::Ended, |n| Answer::Is(self.accounts[n].username));
            }
            Step::LogOut { since } => {
                let Some(n) = self.authenticate(since) else { return Answer::Ended };
                self.sessions[n].ended = true;
            }
            Step::Operate { who, command } => {
                let Some(account) = self.find(By::Username, who) else { return Answer::NoSuchUser };
                self.operate(account, command);
            }
            Step::Own { since, act } => return self.act(since, act),
            Step::Show { since } => return self.show(since),
            Step::Mail(event) => return self.mail(event),
            Step::Wait(span) => self.now += span.duration(),
            Step::Restart | Step::Sweep => {}
        }
        Answer::Done
    }

    fn log_in(&mut self, by: By, who: Person, password: Phrase) -> Answer {
        let account = self.find(by, who);
        if let Err(wait) = self.count(account.map_or(Counted::Ghost(by, who), Counted::Account)) {
            return wait;
        }
        let right = |&n: &usize| self.accounts[n].open && self.accounts[n].password == password;
        let Some(account) = account.filter(right) else { return Answer::Wrong };
        self.failures.remove(&Counted::Account(account));
        self.sessions.push(Session { account, begun: self.now, seen: self.now, proven: self.now, ended: false });
        let living = self.sessions.iter_mut().rev().filter(|s| s.account == account && s.lives(self.now));
        living.skip(SESSIONS).for_each(|oldest| oldest.ended = true);
        Answer::Is(self.accounts[account].username)
    }

    pub fn authenticate(&mut self, since: usize) -> Option<usize> {
        let nth = self.sessions.len().checked_sub(since + 1)?;
        let session = Some(&mut self.sessions[nth]).filter(|session| session.lives(self.now))?;
        if self.now >= session.seen + SEEN_INTERVAL {
            session.seen = self.now;
        }
        Some(nth)
    }

    fn operate(&mut self, account: usize, command: Command) {
        if command != Command::Enable {
            self.evict(account);
        }
        if matches!(command, Command::Enable | Command::SetPassword(_)) {
            self.failures.remove(&Counted::Account(account));
        }
        match command {
            Command::Disable => self.accounts[account].open = false,
            Command::Enable => self.accounts[account].open = true,
            Command::SetPassword(new) => self.accounts[account].password = new,
            Command::Revoke => {}
        }
        self.post_office.note(account, command, self.now);
    }

    /// Counts an attempt as failed, unless there is a wait, which is returned.
    pub fn count(&mut self, counted: Counted) -> Result<(), Answer> {
        let failures = self.failures.entry(counted).or_default();
        let over = failures.len().checked_sub(FREE_FAILURES);
        let delay = over.map_or(Duration::ZERO, |n| LONGEST_DELAY.min(FIRST_DELAY * (1 << n.min(20))));
        let last = failures.last().copied().unwrap_or_default();
        let wait = (last + delay).saturating_sub(self.now);
        if !wait.is_zero() {
            return Err(Answer::Wait(wait.as_millis().div_ceil(1000)));
        }
        failures.retain(|_| self.now <= last + MEMORY);
        failures.push(self.now);
        Ok(())
    }

    pub fn find(&self, by: By, who: Person) -> Option<usize> {
        let named = |known: &Account| if by == By::Email { known.email == who } else { known.username == who };
        self.accounts.iter().position(|known| !known.left && named(known))
    }
}

impl Session {
    fn lives(&self, now: Duration) -> bool {
        !self.ended && now < self.seen + IDLE && now < self.begun + ABSOLUTE
    }
}
