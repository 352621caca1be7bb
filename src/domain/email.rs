//! Email addresses.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use crate::error::Problem;

/// The maximum length of an address, in bytes (RFC 5321, section 4.5.3.1.3, and RFC 3696, erratum 1690).
const MAX_BYTES: usize = 254;
/// The maximum length of the local part, in bytes (RFC 5321, section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;

/// An email address in its canonical form.
///
/// The text is normalised first, then checked, then stored, so that lookups use the text that was checked.
/// CVE-2024-12224 and GHSA-7rqj-j65f-68wh resulted from another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    address: String,
    key: String,
}

impl Email {
    /// Parses an address, and reports the first rule that the text breaks. White space around it is removed. The
    /// domain is converted to its ASCII form by IDNA (UTS #46).
    pub fn parse(text: &str) -> Result<Self, Problem> {
        // Longer texts are rejected before they cost work. Normalising at most triples the length of the rest.
        if text.len() > 4 * MAX_BYTES {
            return Err(Problem::EmailTooLong);
        }
        let text: String = text.trim().nfc().collect();
        if text.is_empty() {
            return Err(Problem::Missing);
        }
        let (local, domain) = text.split_once('@').ok_or(Problem::EmailShape)?;
        if local.is_empty() || domain.is_empty() {
            return Err(Problem::EmailShape);
        }
        check_local(local)?;
        let domain = canonical_domain(domain)?;
        let address = format!("{local}@{domain}");
        if address.len() > MAX_BYTES {
            return Err(Problem::EmailTooLong);
        }
        let key = address.to_ascii_lowercase();
        Ok(Self { address, key })
    }

    /// The address to send mail to: the local part as it was typed, the domain in lower-case ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// The canonical domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.key.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The form that is equal for all spellings of an address.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Checks the local part: RFC 5322's dot-atom, in ASCII. Quoted and non-ASCII local parts are rejected. Hardly any
/// mailbox has one, and each would allow a second spelling of an address.
fn check_local(local: &str) -> Result<(), Problem> {
    if local.len() > MAX_LOCAL_BYTES {
        return Err(Problem::EmailTooLong);
    }
    if !local.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c)) {
        return Err(Problem::EmailCharacter);
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(Problem::EmailShape);
    }
    Ok(())
}

fn canonical_domain(domain: &str) -> Result<String, Problem> {
    let ascii = ascii_domain(domain)?;
    let (_, tld) = ascii.rsplit_once('.').ok_or(Problem::EmailDomain)?;
    if tld.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::EmailDomain);
    }
    Ok(ascii)
}

/// Converts a domain name to its ASCII form.
///
/// IDNA (UTS #46) allows letters, digits and hyphens only. It rejects labels that are empty, too long, or begin or
/// end with a hyphen. Hyphens in the third and fourth place are allowed. UTS #46 forbids them (`CheckHyphens`), but
/// such names are registered and receive mail. A label that begins with `xn--` must still be valid Punycode.
pub(super) fn ascii_domain(domain: &str) -> Result<String, Problem> {
    // IDNA maps characters such as the fullwidth "＠" to ASCII. So other ASCII characters than letters, digits,
    // hyphens and dots are rejected before.
    if domain.chars().any(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '-' && c != '.') {
        return Err(if domain.contains('@') { Problem::EmailShape } else { Problem::EmailCharacter });
    }
    let ascii =
        Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    ascii.map(std::borrow::Cow::into_owned).map_err(|_| Problem::EmailDomain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        Email::parse(text).expect("a good address").key().to_owned()
    }

    #[test]
    fn spellings_of_one_email_share_a_key_r3() {
        assert_eq!(key("Ann@Example.ORG"), "ann@example.org");
        assert_eq!(key("  ann@example.org\t"), "ann@example.org");
        assert_eq!(key("ann@bücher.example"), key("ann@BU\u{308}CHER.example"));
        assert_eq!(key("ann@bücher.example"), "ann@xn--bcher-kva.example");
        assert_eq!(key("ann@example。org"), "ann@example.org");
    }

    #[test]
    fn the_local_part_keeps_its_case_for_mail() {
        assert_eq!(Email::parse("Ann@Example.org").expect("good").as_str(), "Ann@example.org");
    }

    #[test]
    fn parsing_a_canonical_address_changes_nothing() {
        for text in ["ann@bücher.example", "A.B+c@Example.org", "o'neil@x.co"] {
            let once = Email::parse(text).expect("a good address");
            assert_eq!(Email::parse(once.as_str()), Ok(once.clone()));
            assert_eq!(Email::parse(once.key()).expect("a good key").key(), once.key());
        }
    }

    #[test]
    fn domains_with_inner_hyphens_are_accepted() {
        for domain in [
            "ab--cd.org",
            "r3---sn-apo3qvuoxuxbt-j5pe.example.org",
            "a--b.com",
            "test--1.com",
            "a.b--c.org",
            "x----y.org",
        ] {
            assert_eq!(key(&format!("ann@{domain}")), format!("ann@{domain}"));
        }
        for domain in
            ["-ab.org", "ab-.org", "ab.-cd.org", "ab.cd-.org", "xn--.org", "xn--a.org", "xn--bcher-kva-.org", "a.org-"]
        {
            assert_eq!(Email::parse(&format!("ann@{domain}")), Err(Problem::EmailDomain), "{domain}");
        }
    }

    #[test]
    fn each_part_of_an_email_is_accepted_up_to_its_limit() {
        let padded = |bytes: usize| format!("{:<bytes$}", "ann@example.org");
        assert!(Email::parse(&padded(4 * 254)).is_ok());
        assert_eq!(Email::parse(&padded(4 * 254 + 1)), Err(Problem::EmailTooLong));
        let local = |bytes: usize| format!("{}@example.org", "a".repeat(bytes));
        assert!(Email::parse(&local(64)).is_ok());
        assert_eq!(Email::parse(&local(65)), Err(Problem::EmailTooLong));
        let label = "b".repeat(61);
        let whole = |bytes: usize| format!("{}@{label}.{label}.{label}.org", "a".repeat(bytes - 190));
        assert!(whole(254).len() == 254 && Email::parse(&whole(254)).is_ok());
        assert_eq!(Email::parse(&whole(255)), Err(Problem::EmailTooLong));
    }

    #[test]
    fn sixty_hostile_emails_are_rejected_r3() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_whole = format!("a@{}.org", "b.".repeat(130));
        let long_label = format!("a@{}.org", "b".repeat(64));
        let huge = format!("a@{}", "b".repeat(1 << 20));
        let table = [
            "",
            " ",
            "@",
            "a",
            "a@",
            "@b.org",
            "a@b",
            "a@b.",
            "a@.b",
            "a@b..org",
            "a@@b.org",
            "a@b@c.org",
            "a b@c.org",
            "a@b c.org",
            "a\t@b.org",
            "a@b.org\nBcc: x@y.org",
            "a@b.org\r\nBcc: x@y.org",
            "a\0@b.org",
            "a@b\0.org",
            "a@b.org\0",
            "<a@b.org>",
            "a@b.org>",
            "Ann <a@b.org>",
            "a,b@c.org",
            "a@b.org,c@d.org",
            "a;b@c.org",
            "a@b.org;c@d.org",
            "a:b@c.org",
            "a\"b@c.org",
            "\"a b\"@c.org",
            "a\\b@c.org",
            "a@b\\c.org",
            "a＠b.org",
            "a@b＠c.org",
            "a＠b@c.org",
            ".a@b.org",
            "a.@b.org",
            "a..b@c.org",
            "a@-b.org",
            "a@b-.org",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            "a@b.123",
            "a@b_c.org",
            "a@b!c.org",
            "a@b/c.org",
            "a@b.org/",
            "a@b:25.org",
            "mıke@x.org",
            "ann\u{200b}@x.org",
            "ann@x\u{7f}.org",
            "ann\u{202e}@x.org",
            "аnn@x.org",
            "ann@xn--.org",
            "ann@xn--a-ecp.ru",
            "a%0a@b.org\u{85}x",
            "(comment)a@b.org",
            &long_local,
            &long_whole,
            &long_label,
            &huge,
        ];
        assert!(table.len() >= 60);
        let accepted: Vec<_> = table.iter().filter(|text| Email::parse(text).is_ok()).collect();
        assert!(accepted.is_empty(), "accepted: {accepted:?}");
    }
}
