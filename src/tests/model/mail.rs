//! The rules of mail and of its links, as a model without a queue in a database.

use std::{collections::HashMap, time::Duration};

use vestibule::store::{LinkKind, MailKind};

use super::{
    numbers::{FIRST_RETRY, GIVE_UP, LONGEST_RETRY, MAILBOX, MOVES, RESET, UNDO, VERIFY},
    rules::{Account, Counted, Model},
    step::{By, Command, Event, Outcome, Person, Use},
};

/// A queued mail.
#[derive(Clone, Copy)]
pub struct Mail {
    pub kind: MailKind,
    account: Option<usize>,
    pub to: Person,
    posted: Duration,
    due: Duration,
    tries: u32,
    /// Total wait between the tries.
    waited: Duration,
}

/// A link that was created.
struct Link {
    kind: LinkKind,
    account: usize,
    email: Person,
    posted: Duration,
    expires: Duration,
    void: bool,
    arrived: bool,
}

/// What a rate limit applies to.
#[derive(PartialEq, Eq, Hash)]
pub enum Allowed {
    /// Mails with a link that a mailbox's owner needs.
    Needed(Person),
    /// Notices without a link.
    Notices(Person),
    /// One account's requests to change its email.
    Moves(usize),
    /// All accounts' requests to change their email to one mailbox.
    MovesTo(Person),
    Tokens(usize),
    Passwords(usize),
}

#[derive(Default)]
pub struct MailModel {
    pub mails: Vec<Mail>,
    links: Vec<Link>,
    /// When each limit has its full burst again.
    allowances: HashMap<Allowed, Duration>,
    /// Disabled accounts, and when each was disabled.
    closed: HashMap<usize, Duration>,
}

impl Model {
    /// The expected result of a mail event.
    pub fn mail(&mut self, event: Event) -> Outcome {
        match event {
            Event::Forgot(who) => self.post(MailKind::Forgot, None, who),
            Event::Deliver { works } => return Outcome::Mail(self.deliver(works)),
            Event::Follow { since, to } => {
                let Some(link) = self.outbox.arrived(since, self.now) else { return Outcome::LinkInvalid };
                return self.follow(link, to).err().unwrap_or(Outcome::Done);
            }
        }
        Outcome::Done
    }

    pub fn post(&mut self, kind: MailKind, account: Option<usize>, to: Person) {
        let mail = Mail { kind, account, to, posted: self.now, due: self.now, tries: 0, waited: Duration::ZERO };
        self.outbox.mails.push(mail);
    }

    /// Sends every mail that is due, if the server works.
    fn deliver(&mut self, works: bool) -> Vec<(Person, MailKind)> {
        let mut messages = vec![];
        let mails = std::mem::take(&mut self.outbox.mails);
        let notifies = |of| {
            matches!(
                of,
                MailKind::PasswordChanged
                    | MailKind::AccessTokenCreated
                    | MailKind::EmailChanged
                    | MailKind::EmailUndone
            )
        };
        let waits = |mail: &Mail| notifies(mail.kind) && mail.account.is_some_and(|n| !self.accounts[n].open);
        let (mut due, later): (Vec<Mail>, _) = mails.into_iter().partition(|mail| mail.due <= self.now && !waits(mail));
        self.outbox.mails = later;
        due.sort_by_key(|mail| (mail.due, mail.posted));
        for mut mail in due {
            mail.tries += 1;
            let made = self.outbox.links.len();
            let Some(message) = self.write(mail) else { continue };
            if works {
                // For an email that has an account, a link is created but not sent.
                let arrived = message.1 != MailKind::Taken;
                self.outbox.links.iter_mut().skip(made).for_each(|link| link.arrived = arrived);
                messages.push(message);
            } else if mail.waited < GIVE_UP {
                let wait = LONGEST_RETRY.min(FIRST_RETRY * (1 << (mail.tries - 1).min(16)));
                (mail.due, mail.waited) = (self.now + wait, mail.waited + wait);
                self.outbox.mails.push(mail);
            }
        }
        messages
    }

    /// The content and the recipient of a mail at the time it is sent.
    fn write(&mut self, mail: Mail) -> Option<(Person, MailKind)> {
        let found = mail.account.or_else(|| self.find(By::Email, mail.to));
        let Some(account) = found.filter(|&n| self.accounts[n].open) else {
            // What strangers request counts for the mailbox, whether or not it has an enabled account.
            let allowed = match (mail.kind, found) {
                (MailKind::Forgot, _) => Allowed::Needed(mail.to),
                (MailKind::Taken, Some(disabled)) => Allowed::Notices(self.accounts[disabled].email),
                _ => return None,
            };
            if mail.tries == 1 {
                self.outbox.take(allowed, MAILBOX, self.now).ok();
            }
            return None;
        };
        let Account { email, verified, .. } = self.accounts[account];
        let (to, message) = match mail.kind {
            MailKind::Verify if verified => return None,
            MailKind::Verify | MailKind::Taken if !verified => (email, MailKind::Verify),
            MailKind::ChangeEmail | MailKind::EmailChanged | MailKind::EmailUndone => (mail.to, mail.kind),
            kind => (email, kind),
        };
        let other = self.find(By::Email, to).filter(|&n| n != account && self.accounts[n].open);
        let allowed = match mail.kind {
            MailKind::Verify | MailKind::Forgot => Some(Allowed::Needed(to)),
            MailKind::Taken => Some(Allowed::Notices(to)),
            MailKind::ChangeEmail => Some(Allowed::Moves(account)),
            MailKind::PasswordChanged | MailKind::AccessTokenCreated if !verified => Some(Allowed::Notices(to)),
            _ => None,
        };
        if let Some(allowed) = allowed.filter(|_| mail.tries == 1) {
            let moves = matches!(allowed, Allowed::Moves(_));
            self.outbox.take(allowed, MAILBOX, self.now).ok()?;
            if moves {
                self.outbox.take(Allowed::MovesTo(to), MOVES, self.now).ok()?;
            }
        }
        let (kind, lasts) = match message {
            MailKind::Forgot if verified => (LinkKind::Reset, RESET),
            MailKind::Forgot | MailKind::Verify => (LinkKind::Verify, VERIFY),
            MailKind::ChangeEmail => (LinkKind::ChangeEmail, VERIFY),
            MailKind::EmailChanged => (LinkKind::UndoEmail, UNDO),
            _ => return Some((to, message)),
        };
        if kind != LinkKind::UndoEmail {
            let alike = |link: &&mut Link| !link.void && (link.account, link.kind) == (account, kind);
            if self.outbox.links.iter_mut().filter(alike).any(|link| link.posted > mail.posted) {
                return None;
            }
            self.outbox.links.iter_mut().filter(alike).for_each(|link| link.void = true);
        }
        let (posted, expires) = (mail.posted, self.now + lasts);
        self.outbox.links.push(Link { kind, account, email: to, posted, expires, void: false, arrived: false });
        Some((to, if message == MailKind::ChangeEmail && other.is_some() { MailKind::Taken } else { message }))
    }

    fn follow(&mut self, nth: usize, to: Use) -> Result<(), Outcome> {
        let Link { kind, account, email, posted, .. } = self.outbox.links[nth];
        let fits = match to {
            Use::Verify(_) => kind == LinkKind::Verify,
            Use::Reset(_) => matches!(kind, LinkKind::Reset | LinkKind::Verify),
            Use::Confirm(_) => kind == LinkKind::ChangeEmail,
            Use::Undo(_) => kind == LinkKind::UndoEmail,
        };
        if !fits || !self.accounts[account].open {
            return Err(Outcome::LinkInvalid);
        }
        if let Use::Verify(password) | Use::Confirm(password) = to {
            self.compare(Counted::Link(account), account, password)?;
        }
        if to == Use::Undo(self.accounts[account].password) {
            return Err(Outcome::Invalid);
        }
        let Account { email: before, verified, .. } = self.accounts[account];
        if let Some(holder) = self.find(By::Email, email).filter(|&holder| holder != account) {
            if !matches!(to, Use::Undo(_)) || self.accounts[holder].verified {
                return Err(Outcome::Taken);
            }
            self.remove(holder);
        }
        if matches!(to, Use::Confirm(_) | Use::Undo(_)) {
            self.inherit((By::Email, before), (By::Email, email));
        }
        (self.accounts[account].email, self.accounts[account].verified) = (email, true);
        self.outbox.links[nth].void = true;
        self.outbox.void_kind(account, LinkKind::Verify);
        match to {
            Use::Verify(_) => self.note_network(account),
            Use::Confirm(_) => {
                self.outbox.void(account);
                self.note_network(account);
                if verified {
                    self.post(MailKind::EmailChanged, Some(account), before);
                }
            }
            Use::Reset(new) | Use::Undo(new) => {
                self.accounts[account].password = new;
                self.evict(account);
                self.note_network(account);
                if let Use::Undo(_) = to {
                    self.outbox.undo(account, posted);
                    self.post(MailKind::EmailUndone, Some(account), before);
                } else {
                    self.post(MailKind::PasswordChanged, Some(account), email);
                }
            }
        }
        Ok(())
    }
}

impl MailModel {
    /// Revokes the links that could still be used to take over an account.
    pub fn void(&mut self, account: usize) {
        self.void_kind(account, LinkKind::Reset);
        self.void_kind(account, LinkKind::ChangeEmail);
        self.mails.retain(|mail| (mail.account, mail.kind) != (Some(account), MailKind::ChangeEmail));
    }

    /// The valid links of an account, as its export lists them.
    pub fn links_of(&self, account: usize, now: Duration) -> Vec<(&'static str, Person)> {
        let works = |link: &&Link| link.account == account && !link.void && now < link.expires;
        let mut links: Vec<_> = self.links.iter().filter(works).map(|link| (link.kind.name(), link.email)).collect();
        links.sort_unstable();
        links
    }

    /// Removes everything about an account.
    pub fn forget(&mut self, account: usize) {
        self.mails.retain(|mail| mail.account != Some(account));
        self.links.iter_mut().filter(|link| link.account == account).for_each(|link| link.void = true);
    }

    fn void_kind(&mut self, account: usize, kind: LinkKind) {
        let found = self.links.iter_mut().filter(|link| (link.account, link.kind) == (account, kind));
        found.for_each(|link| link.void = true);
    }

    /// Revokes the links that would restore an email which was replaced at `since` or later.
    fn undo(&mut self, account: usize, since: Duration) {
        let is_outdated = |of, posted| of == account && posted >= since;
        let links = self.links.iter_mut().filter(|link| link.kind == LinkKind::UndoEmail);
        links.filter(|link| is_outdated(link.account, link.posted)).for_each(|link| link.void = true);
        self.mails.retain(|mail| {
            mail.kind != MailKind::EmailChanged || !mail.account.is_some_and(|of| is_outdated(of, mail.posted))
        });
    }

    /// The link after which `since` newer ones arrived, if it is valid.
    fn arrived(&self, since: usize, now: Duration) -> Option<usize> {
        let mut arrived = self.links.iter().enumerate().rev().filter(|(_, link)| link.arrived);
        arrived.nth(since).filter(|(_, link)| !link.void && now < link.expires).map(|(nth, _)| nth)
    }

    /// Takes one event from a rate limit, by the generic cell rate algorithm.
    pub fn take(&mut self, of: Allowed, (burst, interval): (u32, Duration), now: Duration) -> Result<(), Outcome> {
        let whole = self.allowances.entry(of).or_default();
        let wait = whole.saturating_sub(now + interval * (burst - 1));
        if !wait.is_zero() {
            return Err(Outcome::Wait(wait.as_millis().div_ceil(1000)));
        }
        *whole = now.max(*whole) + interval;
        Ok(())
    }

    /// A link that restores an email keeps its remaining time while the account is disabled.
    pub fn note(&mut self, account: usize, command: Command, now: Duration) {
        if command == Command::Disable {
            self.closed.entry(account).or_insert(now);
        }
        if command == Command::Enable
            && let Some(since) = self.closed.remove(&account)
        {
            let span = now.saturating_sub(since);
            let links =
                self.links.iter_mut().filter(|link| link.kind == LinkKind::UndoEmail && link.account == account);
            links.for_each(|link| link.expires += span);
        }
    }
}
