//! Tokens: a prefix for the kind, 43 random characters and a checksum of 6.
//!
//! The format follows GitHub's of 2021. Secret scanners recognise the prefix. The checksum detects mistyped or made-up
//! tokens without a database query. As a regular expression: `vs[tlpi]_[0-9A-Za-z]{49}`.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The purpose of a token. The prefix ensures that a token of one kind is never accepted as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A session's bearer token.
    Session,
    /// The token of a link in a mail. It works once.
    Link,
    /// A personal access token.
    Personal,
    /// The token of an invitation to register.
    Invitation,
    /// A token of Django REST framework that was imported. It has no prefix.
    Django,
}

impl TokenKind {
    /// All kinds that this program creates.
    pub const ALL: [Self; 4] = [Self::Session, Self::Link, Self::Personal, Self::Invitation];

    /// The prefix of all tokens of the kind. Changing it revokes them all.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "vst_",
            Self::Link => "vsl_",
            Self::Personal => "vsp_",
            Self::Invitation => "vsi_",
            Self::Django => "",
        }
    }
}

/// Bytes of each prefix.
const PREFIX_BYTES: usize = 4;
/// Characters of the random part: 43 × log2(62) = 256 bits.
const RANDOM_CHARS: usize = 43;
/// Characters of the checksum: 62^6 > 2^32.
const CHECKSUM_CHARS: usize = 6;
/// The length of a token of Django REST framework: 20 random bytes in hexadecimal digits.
const DJANGO_BYTES: usize = 40;
const TOKEN_BYTES: usize = PREFIX_BYTES + RANDOM_CHARS + CHECKSUM_CHARS;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token in plain text. It is wiped from memory on drop.
///
/// ```compile_fail
/// fn printable<T: std::fmt::Display>(_: T) {}
/// use vestibule::domain::token::{TokenKind, Token};
/// printable(Token::parse(TokenKind::Session, "vst_").unwrap());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Generates a token from a source of random bytes, which must be cryptographically secure. Each character is drawn
    /// without bias: bytes from 248 (the last multiple of 62) upwards are drawn again.
    pub fn generate(kind: TokenKind, mut random_byte: impl FnMut() -> u8) -> Self {
        let mut token = Zeroizing::new(String::with_capacity(TOKEN_BYTES));
        token.push_str(kind.prefix());
        while token.len() < PREFIX_BYTES + RANDOM_CHARS {
            let byte = random_byte();
            if byte < 248 {
                token.push(digit(u32::from(byte)));
            }
        }
        let checksum = checksum(&token);
        token.push_str(&checksum);
        Self(token)
    }

    /// Parses a token of a kind. The whole text must match exactly, including white space and case.
    #[must_use]
    pub fn parse(kind: TokenKind, text: &str) -> Option<Self> {
        if text.len() != TOKEN_BYTES || !text.bytes().skip(PREFIX_BYTES).all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let (body, sum) = text.split_at_checked(TOKEN_BYTES - CHECKSUM_CHARS)?;
        (body.starts_with(kind.prefix()) && checksum(body) == sum).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Parses a token of Django REST framework.
    #[must_use]
    pub fn parse_django(text: &str) -> Option<Self> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == DJANGO_BYTES && text.bytes().all(is_digit)).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The token's kind.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        if self.0.len() == DJANGO_BYTES {
            return TokenKind::Django;
        }
        TokenKind::ALL.into_iter().find(|kind| self.0.starts_with(kind.prefix())).unwrap_or(TokenKind::Session)
    }

    /// The plain text, to give to its owner once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash that the database stores.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The SHA-256 of a token. An unsalted, fast hash is sufficient, because 256 random bits can't be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Reads a hash from the database. `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The hash as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn digit(value: u32) -> char {
    ALPHABET.get(value as usize % ALPHABET.len()).map_or('0', |&b| char::from(b))
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [char::from(b'0'); CHECKSUM_CHARS];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= 62;
    }
    digits.iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn token(rng: &mut StdRng) -> Token {
        Token::generate(TokenKind::Session, || rng.random())
    }

    #[test]
    fn a_token_round_trips_and_debug_hides_it_r29() {
        let token = token(&mut StdRng::seed_from_u64(1));
        assert_eq!(Token::parse(TokenKind::Session, token.expose()), Some(token.clone()));
        assert_eq!(token.expose().len(), 53);
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_token_of_one_kind_does_not_parse_as_another() {
        let pairs = TokenKind::ALL.into_iter().flat_map(|one| TokenKind::ALL.map(|other| (one, other)));
        for (one, other) in pairs.filter(|(one, other)| one != other) {
            let token = Token::generate(one, || 7);
            assert_eq!(
                (Token::parse(one, token.expose()).is_some(), Token::parse(other, token.expose())),
                (true, None)
            );
            assert_eq!(token.kind(), one);
            // The checksum covers the prefix, too.
            assert_eq!(Token::parse(other, &token.expose().replace(one.prefix(), other.prefix())), None);
        }
    }

    #[test]
    fn a_token_with_one_changed_character_is_rejected_r32() {
        let token = token(&mut StdRng::seed_from_u64(2));
        for at in 0..token.expose().len() {
            for &other in ALPHABET.iter().chain(b"_-. \0") {
                let mut bytes = token.expose().as_bytes().to_vec();
                if bytes[at] == other {
                    continue;
                }
                bytes[at] = other;
                let changed = String::from_utf8(bytes).expect("ASCII");
                assert_eq!(Token::parse(TokenKind::Session, &changed), None, "{changed}");
            }
        }
    }

    #[test]
    fn the_whole_token_must_match_r33() {
        let token = token(&mut StdRng::seed_from_u64(3));
        let text = token.expose();
        let table = [
            text[..52].to_owned(),
            text[1..].to_owned(),
            format!("{text} "),
            format!(" {text}"),
            format!("{text}\n"),
            format!("{text}a"),
            format!("{text}{text}"),
            text.to_lowercase(),
            text.to_uppercase(),
            String::new(),
            text.replace("vst_", "vsr_"),
            text.replace("vst_", ""),
            "vst_".to_owned(),
            "ä".repeat(26) + "x",
        ];
        for wrong in table {
            assert_eq!(Token::parse(TokenKind::Session, &wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_valid_checksum_allows_no_other_characters_in_a_token_r32() {
        for foreign in ["-", "_", " ", "\u{0}"] {
            let body = [TokenKind::Session.prefix(), &foreign.repeat(RANDOM_CHARS)].concat();
            let text = [body.as_str(), &checksum(&body)].concat();
            assert_eq!((text.len(), Token::parse(TokenKind::Session, &text)), (TOKEN_BYTES, None), "{text:?}");
        }
    }

    #[test]
    fn tokens_are_uniform_over_the_alphabet_and_unique_r30() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut seen = HashSet::new();
        let mut counts = vec![HashMap::<u8, f64>::new(); RANDOM_CHARS];
        let rounds = 20_000;
        for _ in 0..rounds {
            let token = token(&mut rng);
            for (count, byte) in counts.iter_mut().zip(token.expose().bytes().skip(PREFIX_BYTES)) {
                *count.entry(byte).or_default() += 1.0;
            }
            assert!(seen.insert(token.expose().to_owned()));
        }
        let expected = f64::from(rounds) / 62.0;
        for count in counts {
            assert_eq!(count.len(), 62, "every character occurs at every position");
            let chi_square: f64 = count.values().map(|n| (n - expected).powi(2) / expected).sum();
            assert!(chi_square < 120.0, "chi-square of 61 degrees of freedom: {chi_square}");
        }
    }

    #[test]
    fn a_token_hash_does_not_parse_as_a_token_r31() {
        let token = token(&mut StdRng::seed_from_u64(5));
        let hex = token.hash().as_bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(Token::parse(TokenKind::Session, &hex), None);
    }
}
