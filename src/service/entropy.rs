//! Where randomness comes from. Nothing else asks for it.

use std::fmt::Debug;

use rand::Rng;

use crate::{
    domain::token::{Token, TokenKind},
    store::draft::Nonce,
};

/// A source of random bytes fit for cryptography.
pub trait Entropy: Debug + Send + Sync {
    /// Fills a slice with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// `rand`'s generator: `ChaCha`, seeded by the operating system and again from time to time.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// What makes the name of a draft nobody's.
pub fn nonce(entropy: &dyn Entropy) -> Nonce {
    let mut nonce = Nonce::default();
    entropy.fill(&mut nonce);
    nonce
}

/// A new token.
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
    fn no_two_fillings_are_the_same_r30() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        SystemEntropy.fill(&mut one);
        SystemEntropy.fill(&mut other);
        assert!(one != other && one != [0; 32] && other != [0; 32]);
    }
}
