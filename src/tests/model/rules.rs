//! The rules of accounts and sessions, told once more, without a database, a hash or a cache.

use std::{collections::HashMap, time::Duration};

use super::{
    own::Access,
    step::{Answer, By, MOMENT, Person, Phrase, Step},
    throttle::{Counted, Failures},
};

/// The numbers that the real service goes by.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub idle: Duration,
    pub absolute: Duration,
    pub sessions: usize,
    pub free_failures: u32,
    pub first_delay: Duration,
    pub longest_delay: Duration,
    pub memory: Duration,
    pub seen_interval: Duration,
    pub proof: Duration,
    pub access: Duration,
}

pub struct Account {
    pub email: Person,
    pub username: Person,
    pub password: Phrase,
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

pub struct Model {
    pub numbers: Numbers,
    pub now: Duration,
    pub accounts: Vec<Account>,
    pub sessions: Vec<Session>,
    pub access: Vec<Access>,
    pub failures: HashMap<Counted, Failures>,
}

impl Model {
    pub fn new(numbers: Numbers) -> Self {
        let (accounts, sessions, access) = (vec![], vec![], vec![]);
        Self { numbers, now: Duration::ZERO, accounts, sessions, access, failures: HashMap::new() }
    }

    /// What must come of a step. Each takes a moment.
    pub fn take(&mut self, step: Step) -> Answer {
        self.now += MOMENT;
        match step {
            Step::Register { email, username, password } => {
                if self.find(By::Email, email).or(self.find(By::Username, username)).is_some() {
                    return Answer::Taken;
                }
                self.accounts.push(Account { email, username, password, open: true, left: false });
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
            Step::Own { since, act } => return self.act(since, act),
            Step::Show { since } => return self.show(since),
            Step::Disable(who) => {
                self.revoke(who);
                return self.change(who, |account| account.open = false, true, false);
            }
            Step::Enable(who) => return self.change(who, |account| account.open = true, false, true),
            Step::SetPassword(who, new) => {
                self.revoke(who);
                return self.change(who, |account| account.password = new, true, true);
            }
            Step::Revoke(who) => {
                self.revoke(who);
                return self.change(who, |_| (), true, false);
            }
            Step::Wait(span) => self.now += span.duration(),
            Step::Restart | Step::Sweep => {}
        }
        Answer::Done
    }

    fn log_in(&mut self, by: By, who: Person, password: Phrase) -> Answer {
        let account = self.find(by, who);
        let counted = account.map_or(Counted::Ghost(by, who), Counted::Account);
        let wait = self.count(counted);
        if !wait.is_zero() {
            return Answer::Wait(wait.as_millis().div_ceil(1000));
        }
        let right = |&n: &usize| self.accounts[n].open && self.accounts[n].password == password;
        let Some(account) = account.filter(right) else { return Answer::Wrong };
        self.failures.remove(&counted);
        let (numbers, now, owner) = (self.numbers, self.now, self.accounts[account].username);
        self.sessions.push(Session { account, begun: now, seen: now, proven: now, ended: false });
        let living = self.sessions.iter_mut().filter(|s| s.account == account && s.lives(now, numbers));
        let oldest_last: Vec<&mut Session> = living.rev().collect();
        oldest_last.into_iter().skip(numbers.sessions).for_each(|session| session.ended = true);
        Answer::Is(owner)
    }

    pub fn authenticate(&mut self, since: usize) -> Option<usize> {
        let nth = self.sessions.len().checked_sub(since + 1)?;
        let session = Some(&mut self.sessions[nth]).filter(|session| session.lives(self.now, self.numbers))?;
        if self.now >= session.seen + self.numbers.seen_interval {
            session.seen = self.now;
        }
        Some(nth)
    }

    fn change(&mut self, who: Person, change: impl Fn(&mut Account), ends: bool, forgives: bool) -> Answer {
        let Some(account) = self.find(By::Username, who) else { return Answer::NoSuchUser };
        change(&mut self.accounts[account]);
        if ends {
            self.sessions.iter_mut().filter(|session| session.account == account).for_each(|s| s.ended = true);
        }
        if forgives {
            self.failures.remove(&Counted::Account(account));
        }
        Answer::Done
    }

    pub fn find(&self, by: By, who: Person) -> Option<usize> {
        let named = |known: &Account| if by == By::Email { known.email == who } else { known.username == who };
        self.accounts.iter().position(|known| !known.left && named(known))
    }
}

impl Session {
    fn lives(&self, now: Duration, numbers: Numbers) -> bool {
        !self.ended && now < self.seen + numbers.idle && now < self.begun + numbers.absolute
    }
}
