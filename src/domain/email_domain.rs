//! Email domains, and the rule that allows or denies them.

use super::email::{Email, ascii_domain};
use crate::error::Problem;

/// The maximum number of domains in an error message. More would not help its reader.
const NAMED: usize = 5;

/// A domain in its canonical form (IDNA, lower case), such as `example.org` or `edu`. It includes its subdomains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailDomain(String);

impl EmailDomain {
    /// Parses a domain.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        ascii_domain(text.trim()).ok().map(Self)
    }

    /// Whether a canonical domain is this domain or one of its subdomains.
    fn covers(&self, domain: &str) -> bool {
        domain.strip_suffix(&self.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// The email domains that accounts may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DomainRule {
    /// Any domain.
    #[default]
    Any,
    /// Only these domains.
    Only(Vec<EmailDomain>),
    /// Any domain except these.
    Except(Vec<EmailDomain>),
}

impl DomainRule {
    /// Checks that an account may have an email.
    pub fn check(&self, email: &Email) -> Result<(), Problem> {
        let covered = |domains: &[EmailDomain]| domains.iter().any(|domain| domain.covers(email.domain()));
        match self {
            Self::Only(allowed) if !covered(allowed) => {
                let allowed = allowed.iter().take(NAMED).map(|domain| domain.0.clone()).collect();
                Err(Problem::EmailDomainNotAllowed { allowed })
            }
            Self::Except(denied) if covered(denied) => Err(Problem::EmailDomainDenied),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(texts: &[&str]) -> Vec<EmailDomain> {
        texts.iter().map(|text| EmailDomain::parse(text).expect("a domain")).collect()
    }

    #[test]
    fn a_domain_rule_covers_all_spellings_and_subdomains() {
        let listed = domains(&["Example.ORG", "bücher.example", "edu"]);
        let (only, except) = (DomainRule::Only(listed.clone()), DomainRule::Except(listed));
        let inside = [
            "ann@example.org",
            "ann@EXAMPLE.org",
            "ann@mail.example.org",
            "ann@a.b.example.org",
            "ann@example。org",
            "ann@BU\u{308}CHER.example",
            "ann@xn--bcher-kva.example",
            "ann@mail.xn--bcher-kva.example",
            "ann@school.edu",
        ];
        let outside = ["ann@example.com", "ann@notexample.org", "ann@org", "ann@example.org.net", "ann@edu.example"];
        for text in inside {
            let email = Email::parse(text).expect(text);
            assert_eq!(only.check(&email), Ok(()), "{text}");
            assert_eq!(except.check(&email), Err(Problem::EmailDomainDenied), "{text}");
        }
        for text in outside {
            let Ok(email) = Email::parse(text) else { continue };
            assert!(only.check(&email).is_err(), "{text}");
            assert_eq!(except.check(&email), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_rejected_domain_names_the_allowed_ones() {
        let email = Email::parse("ann@example.net").expect("an email");
        let said = |texts: &[&str]| DomainRule::Only(domains(texts)).check(&email).expect_err("refused").to_string();
        assert_eq!(said(&["example.org"]), "Use an email address of example.org.");
        assert_eq!(said(&["a.org", "b.org", "c.org"]), "Use an email address of a.org, b.org or c.org.");
    }

    #[test]
    fn only_a_valid_domain_parses_as_a_rule() {
        for text in [
            "",
            "@example.org",
            "*.example.org",
            ".example.org",
            "example.org.",
            "a b.org",
            "ann@example.org",
            "a_b.org",
        ] {
            assert_eq!(EmailDomain::parse(text), None, "{text:?}");
        }
    }
}
