//! The rules of accounts, sessions and failed logins, as a model without a database, a hash or a cache.

use std::{collections::HashMap, time::Duration};

use vestibule::store::MailKind;

use super::{
    account::Access,
    mail::MailModel,
    numbers::{
        ABSOLUTE, FIRST_DELAY, FREE_FAILURES, IDLE, KNOWN_FOR, KNOWN_NETWORKS, LONGEST_DELAY, MEMORY, NETWORK_NOTED,
        SEEN_INTERVAL, SESSIONS,
    },
    step::{By, Command, MOMENT, Outcome, Person, Phrase, Place, Step},
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
    pub started: Duration,
    pub seen: Duration,
    pub proven: Duration,
    pub ended: bool,
}

/// The groups in which failed logins are counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Strangers' logins, to an account by its email, or by a name that no account has.
    Strangers(By, Person),
    /// Logins from a network that the account remembers.
    Known(usize, Network),
    /// Attempts in a session.
    Session(usize),
    /// Attempts with a link in a mail about an account.
    Link(usize),
}

/// A network that a login comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    Of(Place),
    /// A network that was not used before.
    Other(u32),
}

#[derive(Default)]
pub struct Model {
    pub now: Duration,
    pub accounts: Vec<Account>,
    pub sessions: Vec<Session>,
    pub failures: HashMap<Counted, Vec<Duration>>,
    /// The networks that each account remembers, and when each was noted.
    pub known: HashMap<usize, Vec<(Network, Duration)>>,
    networks: u32,
    /// The network from which somebody last followed a link or changed a password.
    pub follower: Option<Network>,
    pub access: Vec<Access>,
    pub outbox: MailModel,
}

impl Model {
    /// The expected result of a step. Each step takes [`MOMENT`].
    pub fn take(&mut self, step: Step) -> Outcome {
        self.now += MOMENT;
        match step {
            Step::Register { email, username, password } => {
                match (self.find(By::Email, email), self.find(By::Username, username)) {
                    (_, Some(_)) => return Outcome::Invalid,
                    (Some(owner), None) => self.post(MailKind::Taken, Some(owner), email),
                    (None, None) => {
                        self.post(MailKind::Verify, Some(self.accounts.len()), email);
                        let new = Account { email, username, password, verified: false, open: true, left: false };
                        self.inherit((By::Username, username), (By::Email, email));
                        self.accounts.push(new);
                    }
                }
            }
            Step::LogIn { by, who, password, from } => return self.log_in(by, who, password, from),
            Step::Check { since } => {
                let account = self.authenticate(since).map(|n| self.sessions[n].account);
                return account.map_or(Outcome::Ended, |n| Outcome::Is(self.accounts[n].username));
            }
            Step::LogOut { since } => {
                let Some(n) = self.authenticate(since) else { return Outcome::Ended };
                self.sessions[n].ended = true;
            }
            Step::Operate { who, command } => {
                let Some(account) = self.find(By::Username, who) else { return Outcome::NoSuchUser };
                self.operate(account, command);
            }
            Step::Own { since, act } => return self.act(since, act),
            Step::Show { since } => return self.show(since),
            Step::Mail(event) => return self.mail(event),
            Step::Wait(span) => self.now += span.duration(),
            Step::Restart | Step::Sweep => {}
        }
        Outcome::Done
    }

    fn log_in(&mut self, by: By, who: Person, password: Phrase, from: Place) -> Outcome {
        let (account, network) = (self.find(by, who), self.network(from));
        let counted = match account {
            Some(n) if self.seen(n, network).is_some() => Counted::Known(n, network),
            Some(n) => Counted::Strangers(By::Email, self.accounts[n].email),
            None => Counted::Strangers(by, who),
        };
        if let Err(wait) = self.count(counted) {
            return wait;
        }
        let matches = |&n: &usize| self.accounts[n].open && self.accounts[n].password == password;
        let Some(account) = account.filter(matches) else { return Outcome::Wrong };
        self.clear_attempt(counted);
        if self.seen(account, network).is_none_or(|seen| self.now >= seen + NETWORK_NOTED) {
            self.know(account, network);
        }
        self.sessions.push(Session { account, started: self.now, seen: self.now, proven: self.now, ended: false });
        let active = self.sessions.iter_mut().rev().filter(|s| s.account == account && s.is_active(self.now));
        active.skip(SESSIONS).for_each(|oldest| oldest.ended = true);
        Outcome::Is(self.accounts[account].username)
    }

    pub fn network(&mut self, from: Place) -> Network {
        self.networks += 1;
        match from {
            Place::Anywhere => Network::Other(self.networks),
            Place::Follower => self.follower.unwrap_or(Network::Other(self.networks)),
            Place::Home | Place::Cafe => Network::Of(from),
        }
    }

    /// When an account's network was noted, if the account still remembers it.
    fn seen(&self, account: usize, network: Network) -> Option<Duration> {
        let known = self.known.get(&account)?.iter().find(|(known, _)| *known == network)?;
        Some(known.1).filter(|seen| self.now < *seen + KNOWN_FOR)
    }

    pub fn know(&mut self, account: usize, network: Network) {
        let known = self.known.entry(account).or_default();
        known.retain(|(known, _)| *known != network);
        known.push((network, self.now));
        let most = known.len().saturating_sub(KNOWN_NETWORKS);
        known.drain(..most);
    }

    /// Makes a new network known, from which a user has proved that the account is theirs.
    pub fn note_network(&mut self, account: usize) {
        let network = self.network(Place::Anywhere);
        self.follower = Some(network);
        self.know(account, network);
        self.failures.remove(&Counted::Known(account, network));
    }

    /// Removes the networks that an account remembers, with their failures.
    pub fn forget_networks(&mut self, account: usize) {
        for (network, _) in self.known.remove(&account).unwrap_or_default() {
            self.failures.remove(&Counted::Known(account, network));
        }
    }

    /// Uncounts an attempt that succeeded. Strangers' failures remain.
    pub fn clear_attempt(&mut self, counted: Counted) {
        match counted {
            Counted::Strangers(..) => drop(self.failures.get_mut(&counted).and_then(Vec::pop)),
            _ => drop(self.failures.remove(&counted)),
        }
    }

    /// When an account gains or loses a name, `to` becomes at least as strictly rate-limited as `from`.
    pub fn inherit(&mut self, from: (By, Person), to: (By, Person)) {
        let to = Counted::Strangers(to.0, to.1);
        let counted = |of: &Counted| {
            let failures = self.failures.get(of)?;
            let last = failures.last().filter(|last| self.now <= **last + MEMORY)?;
            Some((failures.len(), *last))
        };
        if let Some((failures, last)) = counted(&Counted::Strangers(from.0, from.1)) {
            let (own, own_last) = counted(&to).unwrap_or_default();
            self.failures.insert(to, vec![last.max(own_last); failures.max(own)]);
        }
    }

    fn forget_failures(&mut self, account: usize) {
        let known: Vec<Network> = self.known.get(&account).into_iter().flatten().map(|(network, _)| *network).collect();
        let strangers = Counted::Strangers(By::Email, self.accounts[account].email);
        let sessions = &self.sessions;
        self.failures.retain(|counted, _| match counted {
            Counted::Known(of, network) => *of != account || !known.contains(network),
            Counted::Session(n) => sessions[*n].account != account,
            Counted::Link(of) => *of != account,
            counted @ Counted::Strangers(..) => *counted != strangers,
        });
    }

    pub fn authenticate(&mut self, since: usize) -> Option<usize> {
        let nth = self.sessions.len().checked_sub(since + 1)?;
        let session = Some(&mut self.sessions[nth]).filter(|session| session.is_active(self.now))?;
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
            self.forget_failures(account);
        }
        match command {
            Command::Disable => self.accounts[account].open = false,
            Command::Enable => self.accounts[account].open = true,
            Command::SetPassword(new) => self.accounts[account].password = new,
            Command::Revoke => {}
        }
        self.outbox.note(account, command, self.now);
    }

    /// Counts an attempt as failed. During a delay, it is rejected with the seconds to wait.
    pub fn count(&mut self, counted: Counted) -> Result<(), Outcome> {
        let failures = self.failures.entry(counted).or_default();
        let last = failures.last().copied().unwrap_or_default();
        let wait = (last + delay(failures.len())).saturating_sub(self.now);
        if !wait.is_zero() {
            return Err(Outcome::Wait(wait.as_millis().div_ceil(1000)));
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

/// The wait after that many failures.
fn delay(failures: usize) -> Duration {
    let over = failures.checked_sub(FREE_FAILURES);
    over.map_or(Duration::ZERO, |n| LONGEST_DELAY.min(FIRST_DELAY * (1 << n.min(20))))
}

impl Session {
    fn is_active(&self, now: Duration) -> bool {
        !self.ended && now < self.seen + IDLE && now < self.started + ABSOLUTE
    }
}
