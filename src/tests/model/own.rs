//! The rules of operations on the user's account, as a model.

use std::time::Duration;

use vestibule::store::MailKind;

use super::{
    mail::Allowed,
    numbers::{ACCESS, NOTIFICATION_LIMIT, PROOF},
    rules::{Account, Counted, Model, Session},
    step::{Act, Answer, By, Phrase},
};

/// A personal access token.
pub struct Access {
    account: usize,
    expires: Duration,
    revoked: bool,
}

impl Model {
    /// The expected result of an operation in a session.
    pub fn act(&mut self, since: usize, act: Act) -> Answer {
        let Some(session) = self.authenticate(since) else { return Answer::Ended };
        let account = self.sessions[session].account;
        if let Act::Prove(password) | Act::ChangePassword { current: password, .. } = act {
            if let Err(refused) = self.compare(Counted::Session(session), account, password) {
                return refused;
            }
        } else if act != Act::Resend && self.now >= self.sessions[session].proven + PROOF {
            return Answer::Unproven;
        }
        let (email, now) = (self.accounts[account].email, self.now);
        let prove = |session: &mut Session| (session.proven, session.seen) = (now, now);
        match act {
            Act::Prove(_) => prove(&mut self.sessions[session]),
            Act::ChangePassword { current, new } if current == new => return Answer::Invalid,
            Act::ChangePassword { new, .. } => {
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
            Act::Rename(name) if self.find(By::Username, name).is_some_and(|n| n != account) => return Answer::Invalid,
            Act::Rename(name) => {
                let left = std::mem::replace(&mut self.accounts[account].username, name);
                self.inherit((By::Username, name), (By::Email, email));
                self.inherit((By::Email, email), (By::Username, left));
            }
            Act::ChangeEmail(new) if new == email => return Answer::Invalid,
            Act::ChangeEmail(new) => self.post(MailKind::ChangeEmail, Some(account), new),
            Act::Export => return Answer::Links(self.outbox.links_of(account, now)),
            Act::Resend => self.post(MailKind::Verify, Some(account), email),
            Act::EndOthers => self.end_others(account, Some(session)),
            Act::Issue => {
                if let Err(refused) = self.outbox.take(Allowed::Tokens(account), NOTIFICATION_LIMIT, now) {
                    return refused;
                }
                self.access.push(Access { account, expires: now + ACCESS, revoked: false });
                self.post(MailKind::TokenMade, Some(account), email);
            }
            Act::Leave => {
                self.outbox.mails.retain(|mail| !(mail.kind == MailKind::Forgot && mail.to == email));
                self.remove(account);
            }
        }
        Answer::Done
    }

    /// Counts an attempt with a password, and compares it.
    pub fn compare(&mut self, counted: Counted, account: usize, password: Phrase) -> Result<(), Answer> {
        self.count(counted)?;
        if self.accounts[account].password != password {
            return Err(Answer::Wrong);
        }
        self.clear_attempt(counted);
        Ok(())
    }

    /// The expected result of a request with a personal access token.
    pub fn show(&self, since: usize) -> Answer {
        let token = self.access.iter().rev().nth(since).filter(|token| !token.revoked && self.now < token.expires);
        token.map_or(Answer::Ended, |token| Answer::Is(self.accounts[token.account].username))
    }

    /// Ends everything that may have been stolen.
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
