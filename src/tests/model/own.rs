//! The rules of what people do with accounts of their own, told once more.

use std::time::Duration;

use super::{
    rules::Model,
    step::{Act, Answer, By, Person},
    throttle::Counted,
};

/// A personal access token.
pub struct Access {
    account: usize,
    expires: Duration,
    revoked: bool,
}

impl Model {
    /// What must come of an act in a session.
    pub fn act(&mut self, since: usize, act: Act) -> Answer {
        let Some(session) = self.authenticate(since) else { return Answer::Ended };
        let account = self.sessions[session].account;
        if let Act::Prove(password) | Act::ChangePassword { current: password, .. } = act {
            let counted = Counted::Account(account);
            let wait = self.count(counted);
            if !wait.is_zero() {
                return Answer::Wait(wait.as_millis().div_ceil(1000));
            }
            if self.accounts[account].password != password {
                return Answer::Wrong;
            }
            self.failures.remove(&counted);
        } else if self.now >= self.sessions[session].proven + self.numbers.proof {
            return Answer::Unproven;
        }
        match act {
            Act::Prove(_) => self.sessions[session].proven = self.now,
            Act::ChangePassword { current, new } if current == new => return Answer::Invalid,
            Act::ChangePassword { new, .. } => {
                self.accounts[account].password = new;
                self.sessions[session].proven = self.now;
                self.end_others(account, Some(session));
            }
            Act::Rename(name) => {
                if self.find(By::Username, name).is_some_and(|holder| holder != account) {
                    return Answer::Invalid;
                }
                self.accounts[account].username = name;
            }
            Act::EndOthers => self.end_others(account, Some(session)),
            Act::Issue => {
                let expires = self.now + self.numbers.access;
                self.access.push(Access { account, expires, revoked: false });
            }
            Act::Leave => {
                self.accounts[account].left = true;
                self.end_others(account, None);
                self.revoke_of(account);
            }
        }
        Answer::Done
    }

    /// What must come of showing a personal access token.
    pub fn show(&self, since: usize) -> Answer {
        let token = self.access.iter().rev().nth(since).filter(|token| !token.revoked && self.now < token.expires);
        token.map_or(Answer::Ended, |token| Answer::Is(self.accounts[token.account].username))
    }

    /// An operator ends what may have been stolen.
    pub fn revoke(&mut self, who: Person) {
        if let Some(account) = self.find(By::Username, who) {
            self.revoke_of(account);
        }
    }

    fn revoke_of(&mut self, account: usize) {
        self.access.iter_mut().filter(|token| token.account == account).for_each(|token| token.revoked = true);
    }

    fn end_others(&mut self, account: usize, but: Option<usize>) {
        let others = self.sessions.iter_mut().enumerate();
        let others = others.filter(|(n, session)| session.account == account && Some(*n) != but);
        others.for_each(|(_, session)| session.ended = true);
    }
}
