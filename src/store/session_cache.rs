//! Sessions in memory, for the one process that writes a SQLite file.
//!
//! An ended session must be invalid from the moment its end is acknowledged. Code that changes a session therefore
//! removes it from the cache *after* the commit. A reader that began before the commit must not add the session
//! again. So every removal starts a new generation, and a reader may only add what it read in the current one.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{Error, Session, Store};
use crate::domain::{time::Timestamp, token::TokenHash};

/// The maximum number of cached sessions: some 20 MB. A full cache is cleared, which costs each session one query.
const CAPACITY: usize = 50_000;

#[derive(Debug, Default)]
pub struct SessionCache(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    generation: u64,
    sessions: HashMap<TokenHash, Arc<Session>>,
}

/// What to remove from the cache.
#[derive(Debug)]
pub enum Forget {
    /// These sessions.
    Sessions(Vec<TokenHash>),
    /// All sessions of a user.
    User(String),
}

/// Removes entries on drop, so that this also happens when the change fails half-way.
#[derive(Debug)]
pub struct ForgetOnDrop<'a> {
    cache: &'a SessionCache,
    what: Forget,
}

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        self.cache.forget(&self.what);
    }
}

impl SessionCache {
    pub fn get(&self, hash: &TokenHash) -> Option<Arc<Session>> {
        self.read().sessions.get(hash).map(Arc::clone)
    }

    pub fn generation(&self) -> u64 {
        self.read().generation
    }

    pub fn insert(&self, hash: TokenHash, session: Arc<Session>, generation: u64) {
        let mut entries = self.write();
        if entries.generation == generation {
            if entries.sessions.len() >= CAPACITY {
                entries.sessions.clear();
            }
            entries.sessions.insert(hash, session);
        }
    }

    pub fn note_seen(&self, hash: &TokenHash, at: Timestamp) {
        if let Some(session) = self.write().sessions.get_mut(hash) {
            Arc::make_mut(session).last_seen_at = at;
        }
    }

    pub fn forget_afterwards(&self, what: Forget) -> ForgetOnDrop<'_> {
        ForgetOnDrop { cache: self, what }
    }

    fn forget(&self, what: &Forget) {
        let mut entries = self.write();
        entries.generation += 1;
        match what {
            Forget::Sessions(hashes) => hashes.iter().for_each(|hash| drop(entries.sessions.remove(hash))),
            Forget::User(id) => entries.sessions.retain(|_, session| session.user.id != *id),
        }
    }

    // The entries are consistent at every moment, so a panic while the lock was held did no harm.
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// `None` if there is nothing to remove: without a new generation, readers don't have to read twice.
    pub(super) fn forget_afterwards(&self, hashes: &[Vec<u8>]) -> Option<ForgetOnDrop<'_>> {
        let hashes: Vec<_> = hashes.iter().filter_map(|bytes| TokenHash::from_bytes(bytes)).collect();
        let cache = self.inner.cache.as_ref().filter(|_| !hashes.is_empty())?;
        Some(cache.forget_afterwards(Forget::Sessions(hashes)))
    }

    pub(super) fn forget_user_afterwards(&self, user: &str) -> Option<ForgetOnDrop<'_>> {
        let what = Forget::User(user.to_owned());
        self.inner.cache.as_ref().map(|cache| cache.forget_afterwards(what))
    }

    /// Runs a change to its end even if its caller is cancelled. A client that disconnects between the commit and the
    /// removal must not leave an ended session in the cache.
    pub(super) async fn uncancelled<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match tokio::spawn(change).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Fault(sqlx::Error::WorkerCrashed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::{
        domain::token::{Token, TokenKind},
        store::User,
    };

    fn session(user: &str) -> Arc<Session> {
        let at = Timestamp::from_millis(0);
        let user = User {
            id: user.to_owned(),
            email: String::new(),
            username: String::new(),
            created_at: at,
            disabled_at: None,
            email_verified_at: None,
        };
        Arc::new(Session {
            id: String::new(),
            user,
            token_hash: hash(0),
            created_at: at,
            last_seen_at: at,
            expires_at: at,
            previous_login_at: None,
            proven_at: at,
            current: OnceLock::new(),
        })
    }

    fn hash(byte: u8) -> TokenHash {
        Token::generate(TokenKind::Session, || byte).hash()
    }

    #[test]
    fn a_reader_that_began_before_an_ending_cannot_bring_the_session_back_r41() {
        let cache = SessionCache::default();
        let before = cache.generation();
        drop(cache.forget_afterwards(Forget::Sessions(vec![hash(1)])));
        cache.insert(hash(1), session("ann"), before);
        assert!(cache.get(&hash(1)).is_none());
        cache.insert(hash(1), session("ann"), cache.generation());
        assert!(cache.get(&hash(1)).is_some());
    }

    #[test]
    fn the_memory_of_sessions_is_bounded_and_forgets_none_before_it_is_full_r52() {
        let (cache, session) = (SessionCache::default(), session("ann"));
        let hash = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            TokenHash::from_bytes(&bytes).expect("32 bytes")
        };
        (0..CAPACITY).for_each(|n| cache.insert(hash(n), Arc::clone(&session), 0));
        assert!((0..CAPACITY).all(|n| cache.get(&hash(n)).is_some()));
        cache.insert(hash(CAPACITY), session, 0);
        assert!(cache.get(&hash(CAPACITY)).is_some());
        assert!(cache.read().sessions.len() <= CAPACITY);
    }

    #[test]
    fn forgetting_a_user_spares_the_others() {
        let cache = SessionCache::default();
        cache.insert(hash(1), session("ann"), 0);
        cache.insert(hash(2), session("ann"), 0);
        cache.insert(hash(3), session("bob"), 0);
        drop(cache.forget_afterwards(Forget::User("ann".to_owned())));
        let left = [1, 2, 3].map(|byte| cache.get(&hash(byte)).is_some());
        assert_eq!(left, [false, false, true]);
    }
}
