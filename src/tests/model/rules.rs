//! The rules of accounts and sessions, told once more, without a database, a hash or a cache.

use std::{collections::HashMap, time::Duration};

use super::step::{Answer, By, MOMENT, Person, Phrase, Step};

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
}

struct Account {
    email: Person,
    username: Person,
    password: Phrase,
    open: bool,
}

struct Session {
    account: usize,
    owner: Person,
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
            Step::Check { since } => return self.authenticate(since).map_or(Answer::Ended, |s| Answer::Is(s.owner)),
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
        self.sessions.push(Session { account, owner, begun: now, seen: now, ended: false });
        let living = self.sessions.iter_mut().filter(|s| s.account == account && s.lives(now, numbers));
        let oldest_last: Vec<&mut Session> = living.rev().collect();
        oldest_last.into_iter().skip(numbers.sessions).for_each(|session| session.ended = true);
        Answer::Is(owner)
    }

    /// Counts an attempt as failed, unless there is a wait, which is returned.
    fn count(&mut self, counted: Counted) -> Duration {
        let Numbers { free_failures, first_delay, longest_delay, memory, .. } = self.numbers;
        let failures = self.failures.entry(counted).or_default();
        let wait = (failures.last + failures.delay).saturating_sub(self.now);
        if wait.is_zero() {
            let count = if failures.last + memory < self.now { 1 } else { failures.count + 1 };
            let over = count.checked_sub(free_failures);
            let delay = over.map_or(Duration::ZERO, |n| longest_delay.min(first_delay * 2_u32.pow(n.min(20))));
            *failures = Failures { count, delay, last: self.now };
        }
        wait
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
        self.accounts.iter().position(|known| if by == By::Email { known.email == who } else { known.username == who })
    }
}

impl Session {
    fn lives(&self, now: Duration, numbers: Numbers) -> bool {
        !self.ended && now < self.seen + numbers.idle && now < self.begun + numbers.absolute
    }
}
