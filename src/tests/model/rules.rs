//! The rules of accounts and sessions, told once more, without a database, a hash or a cache.

use std::{collections::HashMap, time::Duration};

use super::step::{Answer, By, MOMENT, Person, Step, Word};

/// The numbers that the real service is configured with too.
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
}

struct Account {
    email: Person,
    username: Person,
    password: Word,
    open: bool,
}

struct Session {
    account: usize,
    begun: Duration,
    seen: Duration,
    ended: bool,
}

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    delay: Duration,
    last: Duration,
}

/// Whose failures are counted: an account's, or those of a name that is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Counted {
    Account(usize),
    Ghost(By, Person),
}

pub struct Model {
    numbers: Numbers,
    now: Duration,
    accounts: Vec<Account>,
    sessions: Vec<Session>,
    failures: HashMap<Counted, Failures>,
}

impl Model {
    pub fn new(numbers: Numbers) -> Self {
        Self { numbers, now: Duration::ZERO, accounts: vec![], sessions: vec![], failures: HashMap::new() }
    }

    /// What must come of a step. Each takes a moment.
    pub fn take(&mut self, step: Step) -> Answer {
        self.now += MOMENT;
        match step {
            Step::Register { email, username, password } => {
                if self.accounts.iter().any(|known| known.email == email || known.username == username) {
                    return Answer::Taken;
                }
                self.accounts.push(Account { email, username, password, open: true });
            }
            Step::LogIn { by, who, password } => return self.log_in(by, who, password),
            Step::Check { since } => return self.authenticate(since).map_or(Answer::Ended, |_| Answer::Done),
            Step::LogOut { since } => {
                let Some(session) = self.authenticate(since) else { return Answer::Ended };
                session.ended = true;
            }
            Step::Disable(who) => return self.change(who, |account| account.open = false, true, false),
            Step::Enable(who) => return self.change(who, |account| account.open = true, false, true),
            Step::SetPassword(who, new) => return self.change(who, |account| account.password = new, true, true),
            Step::Revoke(who) => return self.change(who, |_| (), true, false),
            Step::Wait(span) => self.now += span.duration(),
            Step::Restart | Step::Sweep => {}
        }
        Answer::Done
    }

    fn log_in(&mut self, by: By, who: Person, password: Word) -> Answer {
        let account = self.find(by, who);
        let counted = account.map_or(Counted::Ghost(by, who), Counted::Account);
        if !self.count(counted) {
            return Answer::Wait;
        }
        let right = |&n: &usize| self.accounts[n].open && self.accounts[n].password == password;
        let Some(account) = account.filter(right) else { return Answer::Wrong };
        self.failures.remove(&counted);
        let (numbers, now) = (self.numbers, self.now);
        self.sessions.push(Session { account, begun: now, seen: now, ended: false });
        let living = self.sessions.iter_mut().filter(|s| s.account == account && s.lives(now, numbers));
        let oldest_last: Vec<&mut Session> = living.rev().collect();
        oldest_last.into_iter().skip(numbers.sessions).for_each(|session| session.ended = true);
        Answer::Done
    }

    /// Counts an attempt as failed, unless there is a wait.
    fn count(&mut self, counted: Counted) -> bool {
        let Numbers { free_failures, first_delay, longest_delay, memory, .. } = self.numbers;
        let failures = self.failures.entry(counted).or_default();
        if failures.last + failures.delay > self.now {
            return false;
        }
        let count = if failures.last + memory < self.now { 1 } else { failures.count + 1 };
        let doubled = count.checked_sub(free_failures).map_or(Duration::ZERO, |n| first_delay * 2_u32.pow(n.min(20)));
        *failures = Failures { count, delay: doubled.min(longest_delay), last: self.now };
        true
    }

    fn authenticate(&mut self, since: usize) -> Option<&mut Session> {
        let (numbers, now) = (self.numbers, self.now);
        let session = self.sessions.iter_mut().rev().nth(since).filter(|session| session.lives(now, numbers))?;
        if now >= session.seen + numbers.seen_interval {
            session.seen = now;
        }
        Some(session)
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

    fn find(&self, by: By, who: Person) -> Option<usize> {
        self.accounts.iter().position(|known| match by {
            By::Email => known.email == who,
            By::Username => known.username == who,
        })
    }
}

impl Session {
    fn lives(&self, now: Duration, numbers: Numbers) -> bool {
        !self.ended && now < self.seen + numbers.idle && now < self.begun + numbers.absolute
    }
}
