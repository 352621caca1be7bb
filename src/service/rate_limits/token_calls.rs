//! Rate limit on calls per token.
//!
//! Each server counts in its own memory. That spares the database, and is enough because the limit protects no secret.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::domain::{time::Timestamp, token::TokenHash};

/// Shards of the memory, so that concurrent calls rarely wait for each other.
const PARTS: usize = 16;
/// Tokens per shard. Beyond this, tokens whose limit has refilled are removed.
const MANY: usize = 1_000;

/// When each token's limit has refilled, in nanoseconds since 1970, by the generic cell rate algorithm.
type Part = Mutex<HashMap<TokenHash, i64>>;

/// Counts the calls of each token.
#[derive(Debug)]
pub struct TokenCalls {
    per_minute: u32,
    parts: [Part; PARTS],
}

impl TokenCalls {
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), parts: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Counts a call of a remembered token. The error is the time to wait.
    pub fn take(&self, token: &TokenHash, now: Timestamp) -> Result<(), Duration> {
        let mut part = self.part(token).lock().unwrap_or_else(PoisonError::into_inner);
        part.get_mut(token).map_or(Ok(()), |whole| self.count(whole, now))
    }

    /// Remembers a valid token and counts its first call. Invalid tokens are never remembered, so that nobody can
    /// fill the memory with them.
    pub fn remember(&self, token: &TokenHash, now: Timestamp) {
        let mut part = self.part(token).lock().unwrap_or_else(PoisonError::into_inner);
        if part.contains_key(token) {
            return;
        }
        if part.len() >= MANY {
            let now = nanos(now);
            part.retain(|_, whole| *whole > now);
        }
        let whole = part.entry(*token).or_insert(i64::MIN);
        // The first call is always allowed.
        self.count(whole, now).ok();
    }

    fn count(&self, whole: &mut i64, now: Timestamp) -> Result<(), Duration> {
        let (minute, now) = (60_000_000_000_i64, nanos(now));
        let interval = minute / i64::from(self.per_minute);
        // A value more than a minute ahead can't result from counting: the clock was set back.
        let from = if *whole > now && *whole <= now + minute { *whole } else { now };
        let wait = from + interval - (now + minute);
        if wait > 0 {
            return Err(Duration::from_nanos(wait.unsigned_abs()));
        }
        *whole = from + interval;
        Ok(())
    }

    fn part(&self, token: &TokenHash) -> &Part {
        let [first, others @ ..] = &self.parts;
        let place = token.as_bytes().first().map_or(0, |byte| usize::from(*byte) % PARTS);
        place.checked_sub(1).and_then(|place| others.get(place)).unwrap_or(first)
    }
}

fn nanos(time: Timestamp) -> i64 {
    time.as_millis().saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::{Token, TokenKind};

    fn token(byte: u8) -> TokenHash {
        Token::generate(TokenKind::Session, || byte).hash()
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_millis(1000 * second)
    }

    #[test]
    fn a_token_has_a_burst_of_calls_and_then_one_at_a_time_r93() {
        let (calls, ann, bob) = (TokenCalls::new(30), token(1), token(2));
        calls.remember(&ann, second(100));
        for call in 1..30 {
            assert_eq!(calls.take(&ann, second(100)), Ok(()), "call {call}");
        }
        assert_eq!(calls.take(&ann, second(100)), Err(Duration::from_secs(2)));
        assert_eq!(calls.take(&bob, second(100)), Ok(()), "another token has a separate limit");
        assert_eq!(calls.take(&ann, second(101)), Err(Duration::from_secs(1)));
        assert_eq!(calls.take(&ann, second(102)), Ok(()));
        assert_eq!(calls.take(&ann, second(102)), Err(Duration::from_secs(2)));
    }

    #[test]
    fn a_clock_set_back_blocks_no_token_r99() {
        let (calls, ann) = (TokenCalls::new(1), token(1));
        calls.remember(&ann, second(10_000));
        assert!(calls.take(&ann, second(10_000)).is_err());
        assert_eq!(calls.take(&ann, second(100)), Ok(()));
    }

    #[test]
    fn tokens_with_a_full_allowance_are_removed_r93() {
        let calls = TokenCalls::new(300);
        let hash = |number: u32| {
            let mut bytes = number.to_le_bytes().into_iter().cycle();
            Token::generate(TokenKind::Session, || bytes.next().unwrap_or_default() % 248).hash()
        };
        for number in 0..40_000 {
            calls.remember(&hash(number), second(i64::from(number)));
        }
        let kept = |part: &Part| part.lock().map_or(0, |part| part.len());
        assert!(calls.parts.iter().all(|part| kept(part) <= MANY));
    }
}
