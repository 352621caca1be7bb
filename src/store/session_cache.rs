//! Sessions in memory, for the one process that writes a SQLite file.
//!
//! An ended session must be invalid from the moment its end is acknowledged. Code that changes a session therefore
//! removes it from the cache *after* the commit. A reader that began before the commit must not add the session
//! again. So every removal starts a new generation, and a reader may only add what it read in the current one.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::Session;
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
#[derive(Debug, PartialEq, Eq)]
pub enum Invalidate {
    /// These sessions.
    Sessions(Vec<TokenHash>),
    /// All sessions of a user.
    User(String),
    /// All sessions.
    All,
}

/// Removes entries on drop, so that this also happens when the change fails half-way.
#[derive(Debug)]
pub struct InvalidateOnDrop {
    cache: Arc<SessionCache>,
    what: Vec<Invalidate>,
}

impl InvalidateOnDrop {
    pub const fn new(cache: Arc<SessionCache>) -> Self {
        Self { cache, what: Vec::new() }
    }

    pub fn add(&mut self, what: Invalidate) {
        if !self.what.contains(&what) {
            self.what.push(what);
        }
    }
}

impl Drop for InvalidateOnDrop {
    fn drop(&mut self) {
        // Without a new generation, readers don't have to read twice.
        if !self.what.is_empty() {
            self.cache.invalidate(&self.what);
        }
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

    fn invalidate(&self, what: &[Invalidate]) {
        let mut entries = self.write();
        entries.generation += 1;
        for what in what {
            match what {
                Invalidate::Sessions(hashes) => hashes.iter().for_each(|hash| drop(entries.sessions.remove(hash))),
                Invalidate::All => entries.sessions.clear(),
                Invalidate::User(id) => entries.sessions.retain(|_, session| session.user.id != *id),
            }
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
            pending_since: None,
            role: None,
            groups: Vec::new(),
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
    fn a_read_that_began_before_a_revocation_caches_no_session_r41() {
        let cache = SessionCache::default();
        let before = cache.generation();
        cache.invalidate(&[Invalidate::Sessions(vec![hash(1)])]);
        cache.insert(hash(1), session("ann"), before);
        assert!(cache.get(&hash(1)).is_none());
        cache.insert(hash(1), session("ann"), cache.generation());
        assert!(cache.get(&hash(1)).is_some());
    }

    #[test]
    fn the_session_cache_is_bounded_and_evicts_only_when_full_r52() {
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
    fn removing_a_users_sessions_keeps_the_others() {
        let cache = SessionCache::default();
        cache.insert(hash(1), session("ann"), 0);
        cache.insert(hash(2), session("ann"), 0);
        cache.insert(hash(3), session("bob"), 0);
        let left = |cache: &SessionCache| [1, 2, 3].map(|byte| cache.get(&hash(byte)).is_some());
        cache.invalidate(&[Invalidate::User("ann".to_owned())]);
        assert_eq!(left(&cache), [false, false, true]);
        cache.invalidate(&[Invalidate::All]);
        assert_eq!(left(&cache), [false; 3]);
    }
}
