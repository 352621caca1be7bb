//! Passwords. Plain text is held in memory for as short a time as possible.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::error::Problem;

/// The maximum length of a password in code points.
pub const MAX_CHARS: usize = 256;
/// The maximum length of a password in bytes, checked before any other work (CVE-2013-1443).
pub const MAX_BYTES: usize = 1024;

/// A password in plain text. It is normalised to NFC, so that different keyboards produce the same password (NIST SP
/// 800-63B-4, 3.1.1.2).
///
/// It is wiped from memory on drop, and it can be neither printed nor serialised:
///
/// ```compile_fail
/// fn printable<T: std::fmt::Display>(_: T) {}
/// printable(vestibule::domain::password::Password::parse("correct horse").unwrap());
/// ```
/// ```compile_fail
/// fn serialisable<T: serde::Serialize>(_: T) {}
/// serialisable(vestibule::domain::password::Password::parse("correct horse").unwrap());
/// ```
#[derive(Clone)]
pub struct Password {
    normal: Zeroizing<String>,
    /// As typed, if that is different.
    typed: Option<Zeroizing<String>>,
}

impl Password {
    /// Accepts a password of any strength, for comparison with a stored hash.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::Missing);
        }
        if text.len() > MAX_BYTES {
            return Err(Problem::PasswordTooLong);
        }
        // The capacity is sufficient. A string that grows would leave its old copy in memory.
        let mut normal = Zeroizing::new(String::with_capacity(3 * MAX_BYTES));
        normal.extend(text.nfc());
        // 256 code points are at most 1,024 bytes.
        if normal.chars().count() > MAX_CHARS {
            return Err(Problem::PasswordTooLong);
        }
        let typed = (*normal != text).then(|| Zeroizing::new(text.to_owned()));
        Ok(Self { normal, typed })
    }

    /// The plain text. Only the hasher and the strength estimator read it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.normal
    }

    /// The forms that another system may have hashed: as typed, and then the normal form if it is different.
    pub fn forms(&self) -> impl Iterator<Item = &str> {
        self.typed.iter().map(|typed| typed.as_str()).chain([self.expose()])
    }
}

/// Passwords are equal if their normal forms are.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_normalizations_of_a_password_are_equal_r26() {
        assert_eq!(Password::parse("cafe\u{301} au lait"), Password::parse("café au lait"));
    }

    #[test]
    fn a_password_has_a_second_form_if_it_was_typed_in_another() {
        let forms = |text| Password::parse(text).expect("a password").forms().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(forms("café"), ["café"]);
        assert_eq!(forms("cafe\u{301}"), ["cafe\u{301}", "café"]);
    }

    #[test]
    fn a_nul_byte_is_part_of_the_password_r26() {
        assert_ne!(Password::parse("a\0b"), Password::parse("a\0c"));
    }

    #[test]
    fn length_is_counted_in_code_points_and_nothing_is_cut_r7() {
        assert!(Password::parse(&"🦀".repeat(64)).is_ok());
        assert!(Password::parse(&"a".repeat(256)).is_ok());
        assert_eq!(Password::parse(&"a".repeat(257)).err(), Some(Problem::PasswordTooLong));
        let (one, two) = (format!("{}x", "a".repeat(255)), format!("{}y", "a".repeat(255)));
        assert_ne!(Password::parse(&one), Password::parse(&two));
    }

    #[test]
    fn a_password_with_too_many_bytes_is_rejected_first_r25() {
        assert_eq!(Password::parse(&"a".repeat(1 << 20)).err(), Some(Problem::PasswordTooLong));
        assert_eq!(Password::parse(&"🦀".repeat(257)).err(), Some(Problem::PasswordTooLong));
        assert!(Password::parse(&"🦀".repeat(256)).is_ok(), "256 code points, 1,024 bytes");
        let decomposed = "\u{1112}\u{1161}\u{11ab}".repeat(114);
        assert_eq!(decomposed.len(), 1026);
        assert_eq!(
            Password::parse(&decomposed).err(),
            Some(Problem::PasswordTooLong),
            "the limit applies before normalization"
        );
    }

    #[test]
    fn a_password_never_prints_r29() {
        assert_eq!(format!("{:?}", Password::parse("hunter2")), "Ok(Password)");
    }
}
