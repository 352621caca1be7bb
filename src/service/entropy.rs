//! Sources of randomness. No other module generates random bytes.

use std::fmt::Debug;

use rand::Rng;
use uuid::Uuid;

use crate::{
    domain::{
        time::Timestamp,
        token::{Token, TokenKind},
    },
    store::draft::Nonce,
};

/// A source of cryptographically secure random bytes.
pub trait Entropy: Debug + Send + Sync {
    /// Fills a slice with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// `rand`'s generator: `ChaCha`, seeded and periodically reseeded by the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the only place that generates randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Creates the random part of a temporary file's name.
pub fn nonce(entropy: &dyn Entropy) -> Nonce {
    let mut nonce = Nonce::default();
    entropy.fill(&mut nonce);
    nonce
}

/// Creates an identifier: a UUID of version 7, so that identifiers sort by age.
pub fn new_id(entropy: &dyn Entropy, now: Timestamp) -> String {
    new_uuid(entropy, now).to_string()
}

/// Creates an identifier, as [`new_id`] does.
pub fn new_uuid(entropy: &dyn Entropy, now: Timestamp) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Creates a random token.
pub fn new_token(entropy: &dyn Entropy, kind: TokenKind) -> Token {
    Token::generate(kind, || {
        let mut byte = [0];
        entropy.fill(&mut byte);
        u8::from_ne_bytes(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_age() {
        let ids = [5, 6, 1_795_348_800_000].map(|millis| new_id(&SystemEntropy, Timestamp::from_millis(millis)));
        assert!(ids.is_sorted(), "{ids:?}");
    }

    #[test]
    fn system_entropy_never_repeats_r30() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut one);
        SystemEntropy.fill(&mut other);
        assert!(one != other && one != [0; 32] && other != [0; 32]);
    }
}
