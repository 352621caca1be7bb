//! The rules of operations on the user's account, as a model.

use std::time::Duration;

use vestibule::store::MailKind;

use super::{
    mail::Allowed,
    numbers::{ACCESS, NOTIFICATION_LIMIT, PROOF},
    rules::{Account, Counted, Model, Session},
    step::{By, Operation, Outcome, Phrase},
};

/// A personal access token.
pub struct Access {
    account: usize,
    expires: Duration,
    revoked: bool,
}

impl Model {
    /// The expected result of an operation in a session.
    pub fn act(&mut self, since: usize, act: Operation) -> Outcome {
        let Some(session) = self.authenticate(since) else { return Outcome::Ended };
        let account = self.sessions[session].account;
        if let Operation::Prove(password) | Operation::ChangePassword { current: password, .. } = act {
            if let Err(refused) = self.compare(Counted::Session(session), account, password) {
                return refused;
            }
        } else if act != Operation::Resend && self.now >= self.sessions[session].proven + PROOF {
            return Outcome::Unproven;
        }
        let (email, now) = (self.accounts[account].email, self.now);
        let prove = |session: &mut Session| (session.proven, session.seen) = (now, now);
        match act {
            Operation::Prove(_) => prove(&mut self.sessions[session]),
            Operation::ChangePassword { current, new } if current == new => return Outcome::Invalid,
            Operation::ChangePassword { new, .. } => {
                if let Err(refused) = self.outbox.take(Allowed::Passwords(account), NOTIFICATION_LIMIT, now) {
                    return refused;
                }
                self.accounts[account].password = new;
                prove(&mut self.sessions[session]);
                self.end_others(account, Some(session));
                self.forget_networks(account);
                self.note_network(account);
                self.post(MailKind::PasswordChanged, Some(account), email);
            }
            Operation::Rename(name) if self.find(By::Username, name).is_some_and(|n| n != account) => {
                return Outcome::Invalid;
            }
            Operation::Rename(name) => {
                let left = std::mem::replace(&mut self.accounts[account].username, name);
                self.inherit((By::Username, name), (By::Email, email));
                self.inherit((By::Email, email), (By::Username, left));
            }
            Operation::ChangeEmail(new) if new == email => return Outcome::Invalid,
            Operation::ChangeEmail(new) => self.post(MailKind::ChangeEmail, Some(account), new),
            Operation::Export => return Outcome::Links(self.outbox.links_of(account, now)),
            Operation::Resend => self.post(MailKind::Verify, Some(account), email),
            Operation::EndOthers => self.end_others(account, Some(session)),
            Operation::Issue => {
                if let Err(refused) = self.outbox.take(Allowed::Tokens(account), NOTIFICATION_LIMIT, now) {
                    return refused;
                }
                self.access.push(Access { account, expires: now + ACCESS, revoked: false });
                self.post(MailKind::AccessTokenCreated, Some(account), email);
            }
            Operation::Leave => {
                self.outbox.mails.retain(|mail| !(mail.kind == MailKind::Forgot && mail.to == email));
                self.remove(account);
            }
        }
        Outcome::Done
    }

    /// Counts an attempt with a password, and compares it.
    pub fn compare(&mut self, counted: Counted, account: usize, password: Phrase) -> Result<(), Outcome> {
        self.count(counted)?;
        if self.accounts[account].password != password {
            return Err(Outcome::Wrong);
        }
        self.clear_attempt(counted);
        Ok(())
    }

    /// The expected result of a request with a personal access token.
    pub fn show(&self, since: usize) -> Outcome {
        let token = self.access.iter().rev().nth(since).filter(|token| !token.revoked && self.now < token.expires);
        token.map_or(Outcome::Ended, |token| Outcome::Is(self.accounts[token.account].username))
    }

    /// Revokes everything that an intruder may have.
    pub fn evict(&mut self, account: usize) {
        self.end_others(account, None);
        self.forget_networks(account);
        self.access.iter_mut().filter(|token| token.account == account).for_each(|token| token.revoked = true);
    }

    /// Removes an account with everything that belongs to it.
    pub fn remove(&mut self, account: usize) {
        self.evict(account);
        let Account { email, username, .. } = self.accounts[account];
        self.inherit((By::Email, email), (By::Username, username));
        self.accounts[account].left = true;
        self.outbox.forget(account);
    }

    fn end_others(&mut self, account: usize, but: Option<usize>) {
        let others = self.sessions.iter_mut().enumerate();
        let others = others.filter(|(n, session)| session.account == account && Some(*n) != but);
        others.for_each(|(_, session)| session.ended = true);
        self.outbox.void(account);
    }
}
