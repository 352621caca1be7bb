//! The texts of the mails to account owners.

mod layout;

use std::{fmt, sync::Arc};

pub use self::layout::{LOGO_ID, MailMessage};
use crate::{
    domain::{colour::Colour, token::Token},
    store::User,
};

/// The service's name, address and look, as its mails show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailTemplates {
    /// The name in the subject and the heading.
    pub service_name: String,
    /// The configured address of the page, without a trailing slash. It never comes from a request (CVE-2025-64101).
    pub url: String,
    /// The colour of buttons and links. `None` selects the page's default colour.
    pub accent: Option<Colour>,
    /// The logo next to the service's name.
    pub logo: Option<Png>,
}

/// A PNG picture that is part of a mail. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Png(Arc<[u8]>);

impl Png {
    /// Wraps the bytes of a PNG file.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes of the PNG file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Png {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Png({} bytes)", self.0.len())
    }
}

impl MailTemplates {
    /// Asks the owner of an account to confirm its email.
    pub(crate) fn verify(&self, to: &str, username: &str, link: &Token) -> MailMessage {
        let Self { service_name: service, .. } = self;
        let account = nameable(username).map_or("an account".to_owned(), |name| format!("the account {name}"));
        self.message(to, format!("Confirm your email for {service}"))
            .text("Hello,")
            .text(format!("Someone created {account} at {service} with this address."))
            .text("If this was you, please confirm your email. You will be asked for your password.")
            .button("Confirm your email", self.url_of("verify", link))
            .text("The link works once, for 24 hours.")
            .text(
                "If this wasn't you, you can ignore this email. You can also open the link and choose a new password. \
                 That locks out the person who created the account.",
            )
    }

    /// Invites the recipient to register.
    pub(super) fn invitation(&self, to: &str, link: &Token, until: &str) -> MailMessage {
        let Self { service_name: service, .. } = self;
        self.message(to, format!("You are invited to {service}"))
            .text("Hello,")
            .text(format!("You are invited to create an account at {service}."))
            .button("Create your account", self.url_of("invite", link))
            .text(format!("The link works once, until {until}. It also confirms that this address is yours."))
            .text("If you don't expect this invitation, you can ignore this email.")
    }

    /// Notifies an owner that someone tried to use their email for another account.
    pub(super) fn taken(&self, owner: &User) -> MailMessage {
        let Self { service_name: service, url, .. } = self;
        let name = match nameable(&owner.username) {
            _ if owner.email_verified_at.is_some() => format!("Its username is {}.", owner.username),
            Some(name) => format!("Its username is {name}."),
            None => String::new(),
        };
        let known = format!(
            "Someone (probably you) tried to use this address for another account at {service}. \
             You already have an account."
        );
        self.message(&owner.email, format!("You already have an account at {service}"))
            .text("Hello,")
            .text(format!("{known} {name}").trim_end())
            .text("Please log in to your existing account. If you forgot your password, you can reset it.")
            .button("Log in", format!("{url}/login"))
            .link("Reset your password", format!("{url}/forgot"))
            .text("If this wasn't you, no action is needed. Nothing has changed.")
    }

    /// Sends the link that sets a new password. If the email is not `proven`, using the link also confirms it.
    pub(crate) fn reset(&self, to: &str, username: &str, link: &Token, proven: bool) -> MailMessage {
        let Self { service_name: service, .. } = self;
        let account = if proven { Some(username) } else { nameable(username) };
        let account = account.map_or("an account".to_owned(), |name| format!("the account {name}"));
        let mail = self
            .message(to, format!("Choose a new password for {service}"))
            .text("Hello,")
            .text(format!("Someone (probably you) asked to reset the password of {account} at {service}."))
            .button("Choose a new password", self.url_of("reset", link));
        if proven {
            mail.text(
                "The link works once, for 30 minutes. A new password logs you out everywhere \
                 and revokes your access tokens.",
            )
            .text("If this wasn't you, you can ignore this email. Your password stays the same.")
        } else {
            mail.text(
                "The link works once, for 24 hours, and confirms that this address is yours. \
                 A new password logs everyone out and revokes all access tokens.",
            )
            .text(
                "This address has not been confirmed yet. If you didn't create the account, \
                 you can ignore this email. You can also choose a new password. \
                 That locks out the person who created the account.",
            )
        }
    }

    /// Asks the owner of an account that was imported without a password to choose one.
    pub(super) fn imported(&self, owner: &User) -> MailMessage {
        let Self { service_name: service, url, .. } = self;
        self.message(&owner.email, format!("Choose a password for {service}"))
            .text("Hello,")
            .text(format!("An operator imported {} from another site.", self.account_of(owner)))
            .text("It has no password here. To choose one, please request a link.")
            .button("Choose a password", format!("{url}/forgot"))
            .text("If you don't know this account, you can ignore this email.")
    }

    /// Notifies the owner that the password was changed. `tokens_revoked`: whether access tokens were revoked with it.
    pub(super) fn password_changed(&self, owner: &User, when: &str, tokens_revoked: bool) -> MailMessage {
        let tokens = if tokens_revoked {
            "All access tokens were revoked."
        } else {
            "Access tokens were not revoked and still work."
        };
        self.message(&owner.email, format!("Your password at {} was changed", self.service_name))
            .text("Hello,")
            .text(format!("The password of {} was changed on {when}. {tokens}", self.account_of(owner)))
            .alarm(&self.url)
    }

    /// Notifies the owner that an access token was created.
    pub(super) fn access_token_created(&self, owner: &User, when: &str) -> MailMessage {
        self.message(&owner.email, format!("A new access token at {}", self.service_name))
            .text("Hello,")
            .text(format!("An access token was created for {} on {when}.", self.account_of(owner)))
            .alarm(&self.url)
    }

    /// Asks the recipient to confirm the new email of an account.
    pub(super) fn change_email(&self, to: &str, username: &str, link: &Token) -> MailMessage {
        let Self { service_name: service, .. } = self;
        let account = nameable(username).map_or("their account".to_owned(), |name| format!("the account {name}"));
        self.message(to, format!("Confirm your new email for {service}"))
            .text("Hello,")
            .text(format!("Someone (probably you) asked to use this address for {account} at {service}."))
            .text("If this was you, please confirm your new email. You will be asked for your password.")
            .button("Confirm your new email", self.url_of("confirm-email", link))
            .text("The link works once, for 24 hours. Your email stays the same until you use it.")
            .text("If this wasn't you, you can ignore this email.")
    }

    /// Notifies the previous email of a change, with a link that undoes it.
    pub(super) fn email_changed(&self, to: &str, username: &str, new: &str, link: &Token) -> MailMessage {
        let Self { service_name: service, .. } = self;
        self.message(to, format!("Your email at {service} was changed"))
            .text("Hello,")
            .text(format!("Your account {username} at {service} now uses another email: {new}."))
            .text("If this was you, no action is needed. This is the last email we send to this address.")
            .text(
                "If this wasn't you, undo the change now. Your account will use this address again, \
                 and everyone is logged out.",
            )
            .button("Undo the change", self.url_of("undo-email", link))
            .text("The link works once, for three days. You will be asked to choose a new password.")
    }

    /// Notifies the email that an undo has just removed from the account.
    pub(super) fn email_undone(&self, to: &str, username: &str) -> MailMessage {
        let Self { service_name: service, .. } = self;
        self.message(to, format!("Your email at {service} was changed back"))
            .text("Hello,")
            .text(format!("The account {username} at {service} uses its previous email again instead of this address."))
            .text("The change was undone from the previous mailbox. If this is a mistake, please contact support.")
    }

    /// Notifies the owner of an account of its role, or that it has none any more.
    pub(super) fn role_changed(&self, owner: &User, when: &str) -> MailMessage {
        let (service, account) = (&self.service_name, self.account_of(owner));
        let (subject, change) = match owner.role {
            Some(role) => (
                format!("You have the role {} at {service}", role.name()),
                format!("On {when}, {account} got the role {}.", role.name()),
            ),
            None => (
                format!("You are no longer an operator of {service}"),
                format!("On {when}, {account} lost its role. It is an ordinary account again."),
            ),
        };
        self.message(&owner.email, subject)
            .text("Hello,")
            .text(change)
            .text("You were logged out everywhere, and your access tokens were revoked. Please log in again.")
            .text("If you didn't expect this, please contact the other operators.")
    }

    /// Notifies an operator of accounts that wait for approval.
    pub(super) fn approval_waiting(&self, to: &str, waiting: i64) -> MailMessage {
        let Self { service_name: service, url, .. } = self;
        let accounts = if waiting == 1 { "One account waits".to_owned() } else { format!("{waiting} accounts wait") };
        self.message(to, format!("New accounts wait at {service}"))
            .text("Hello,")
            .text(format!("{accounts} for an operator's approval at {service}. The owners can't log in until then."))
            .text("You can approve them, or decline and delete them.")
            .button("See the accounts", format!("{url}/operators/accounts?state=pending"))
            .text("You receive this email at most once an hour, and once a day while accounts wait, because you are an operator.")
    }

    /// Notifies the owner of an account that an operator approved it.
    pub(super) fn approved(&self, owner: &User) -> MailMessage {
        let Self { service_name: service, url, .. } = self;
        self.message(&owner.email, format!("Your account at {service} is approved"))
            .text("Hello,")
            .text(format!("An operator approved {}. You can log in now.", self.account_of(owner)))
            .button("Log in", format!("{url}/login"))
            .text("If you didn't create this account, you can ignore this email.")
    }

    /// Notifies somebody that an operator declined the registration.
    pub(super) fn declined(&self, to: &str) -> MailMessage {
        let Self { service_name: service, .. } = self;
        self.message(to, format!("Your registration at {service} was declined"))
            .text("Hello,")
            .text(format!("Somebody registered at {service} with this address. An operator declined the registration."))
            .text("The account was deleted with all its data.")
    }

    /// Notifies an admin of another one.
    pub(super) fn admin_added(&self, to: &str, username: &str, when: &str) -> MailMessage {
        let Self { service_name: service, .. } = self;
        self.message(to, format!("{username} is now an admin of {service}"))
            .text("Hello,")
            .text(format!("On {when}, the account {username} at {service} became an admin."))
            .text("You receive this email because you are an admin, too.")
            .text("If you didn't expect this, check the list of operators: run vestibule operator list on the server.")
    }

    fn message(&self, to: &str, subject: String) -> MailMessage {
        MailMessage::new(self, to, subject)
    }

    /// Names the owner's account. Until the email is confirmed, a stranger may have chosen the username.
    fn account_of(&self, owner: &User) -> String {
        let name = if owner.email_verified_at.is_some() { Some(&*owner.username) } else { nameable(&owner.username) };
        name.map_or(format!("your account at {}", self.service_name), |name| {
            format!("your account {name} at {}", self.service_name)
        })
    }

    /// Builds a link. The token follows the `#`, so browsers never send it to a server and it appears in no log.
    fn url_of(&self, view: &str, link: &Token) -> String {
        format!("{}/{view}#{}", self.url, link.expose())
    }
}

impl MailMessage {
    /// Adds what to do if someone else did it. A password reset by mail ends all sessions and revokes all access
    /// tokens.
    fn alarm(self, url: &str) -> Self {
        self.text("If this was you, no action is needed.")
            .text("If this wasn't you, reset your password now. That logs everyone out and revokes all access tokens.")
            .button("Reset your password", format!("{url}/forgot"))
    }
}

/// Returns the username if it is safe to show in a mail to an unconfirmed address, where a stranger may have chosen it.
/// Mail programs turn domains and telephone numbers into links, so a name with a dot or with five digits is left out.
fn nameable(username: &str) -> Option<&str> {
    let digits = username.bytes().filter(u8::is_ascii_digit).count();
    (!username.contains('.') && digits < 5).then_some(username)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{role::Role, time::Timestamp, token::TokenKind};

    fn head() -> MailTemplates {
        MailTemplates {
            service_name: "Ann & Sons".into(),
            url: "https://accounts.example.org".into(),
            accent: None,
            logo: None,
        }
    }

    fn owner(username: &str, proven: bool) -> User {
        let at = Timestamp::from_millis(1_795_348_800_000);
        User {
            id: "0".to_owned(),
            email: "ann@example.org".to_owned(),
            username: username.to_owned(),
            created_at: at,
            disabled_at: None,
            email_verified_at: proven.then_some(at),
            pending_since: None,
            role: None,
            groups: Vec::new(),
        }
    }

    /// Every mail to an unconfirmed address.
    fn to_unproven(username: &str) -> Vec<MailMessage> {
        let (head, link, owner) = (head(), Token::generate(TokenKind::Link, || 7), owner(username, false));
        vec![
            head.verify(&owner.email, username, &link),
            head.taken(&owner),
            head.reset(&owner.email, username, &link, false),
            head.password_changed(&owner, "22 November 2026, 12:00 UTC", true),
            head.access_token_created(&owner, "22 November 2026, 12:00 UTC"),
            head.change_email(&owner.email, username, &link),
            head.imported(&owner),
            head.approved(&owner),
            head.declined(&owner.email),
            head.invitation(&owner.email, &Token::generate(TokenKind::Invitation, || 7), "22 November 2026, 12:00 UTC"),
        ]
    }

    fn to_proven(username: &str) -> Vec<MailMessage> {
        let (head, link, owner) = (head(), Token::generate(TokenKind::Link, || 7), owner(username, true));
        vec![
            head.taken(&owner),
            head.reset(&owner.email, username, &link, true),
            head.password_changed(&owner, "22 November 2026, 12:00 UTC", false),
            head.access_token_created(&owner, "22 November 2026, 12:00 UTC"),
            head.email_changed(&owner.email, username, "new@example.org", &link),
            head.email_undone(&owner.email, username),
            head.role_changed(&owner, "22 November 2026, 12:00 UTC"),
            head.role_changed(&User { role: Some(Role::Support), ..owner.clone() }, "22 November 2026, 12:00 UTC"),
            head.admin_added(&owner.email, username, "22 November 2026, 12:00 UTC"),
        ]
    }

    #[test]
    fn every_link_has_the_public_url_and_its_token_in_the_fragment_r53() {
        for mail in [to_unproven("ann"), to_proven("ann")].concat() {
            assert_eq!(mail.to, "ann@example.org");
            for url in mail.urls() {
                assert!(url == head().url || url.starts_with("https://accounts.example.org/"), "{url}");
                assert!(
                    ["vsl_", "vsi_"].iter().all(|kind| !url.contains(kind) || url.contains(&format!("#{kind}"))),
                    "{url}"
                );
                assert!(mail.to_text().lines().any(|line| line == url), "{url}: {}", mail.to_text());
                assert!(mail.to_html().contains(url), "{url}");
            }
        }
    }

    #[test]
    fn a_mail_to_an_unconfirmed_address_has_no_words_of_strangers_r56() {
        for hostile in ["claim-your-prize.example.com", "evil.example", "1-800-555-0199", "a12345"] {
            for mail in to_unproven(hostile) {
                let (text, html) = (mail.to_text(), mail.to_html());
                assert!(!text.contains(hostile) && !html.contains(hostile), "{text}");
                assert!(!mail.subject.contains(hostile));
            }
        }
        let harmless = to_unproven("ann-2_go");
        let unnamed = ["You are invited", "Your registration"];
        let named = harmless.iter().filter(|mail| !unnamed.iter().any(|subject| mail.subject.starts_with(subject)));
        assert!(
            named.clone().count() == 8 && named.clone().all(|mail| mail.to_text().contains("ann-2_go")),
            "{harmless:#?}"
        );
        let own = to_proven("ann.smith");
        assert!(own.iter().all(|mail| mail.to_text().contains("ann.smith")), "{own:#?}");
    }

    #[test]
    fn a_mail_loads_nothing_and_its_text_equals_its_html() {
        for mail in [to_unproven("ann"), to_proven("ann")].concat() {
            let (text, html) = (mail.to_text(), mail.to_html());
            let footer = "-- \nYou received this email because your address was entered at Ann & Sons.\nhttps://accounts.example.org\n";
            assert!(text.starts_with("Ann & Sons\n\n") && text.ends_with(footer), "{text}");
            for loads in ["<img", "<link", "src=", "url(", "@import", "<script", "http-equiv"] {
                assert!(!html.contains(loads), "{loads}: {html}");
            }
            for line in text.lines().filter(|line| !line.is_empty() && *line != "-- ") {
                let words = html_escape::encode_text(line.trim_end_matches(':'));
                assert!(html.contains(&*words), "{words}: {html}");
            }
        }
    }

    #[test]
    fn mail_buttons_have_the_accent_colour_readable_in_both_themes() {
        let link = Token::generate(TokenKind::Link, || 7);
        let html = |accent: Option<&str>| {
            let accent = accent.map(|text| Colour::parse(text).expect(text));
            MailTemplates { accent, ..head() }.verify("ann@example.org", "ann", &link).to_html()
        };
        assert!(html(Some("#0a4fd6")).contains("background:#0a4fd6;color:#ffffff"), "a readable colour is unchanged");
        let pale = html(Some("#ffe000"));
        assert!(!pale.contains("background:#ffe000;color:#ffffff"), "white on yellow is not readable: {pale}");
        assert!(pale.contains(".button { background: #ffe000 !important; color: #111218 !important; }"), "{pale}");
        assert!(html(None).contains("background:#4b3fd0;color:#ffffff"));
    }

    #[test]
    fn html_escapes_every_word() {
        let mail = head().password_changed(&owner("<b>ann</b>", true), "now", false);
        let html = mail.to_html();
        assert!(html.contains("&lt;b&gt;ann&lt;/b&gt; at Ann &amp; Sons") && !html.contains("<b>"), "{html}");
        assert!(mail.to_text().contains("<b>ann</b> at Ann & Sons"));
    }
}
