//! Parses the setting `mail.url`.

use std::{fmt, net::IpAddr, path::PathBuf};

use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::tls::TlsMode;

/// The configured destination of mail.
#[derive(Clone, PartialEq, Eq)]
pub enum MailUrl {
    /// No mail is sent.
    Off,
    /// Mail is written into a folder.
    Folder(PathBuf),
    /// Mail is sent to an SMTP server.
    Smtp(Server),
}

/// An SMTP server.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// A host name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether the connection starts with TLS (implicit TLS).
    pub(super) tls_at_once: bool,
    pub(super) login: Option<Login>,
}

/// Credentials for a mail server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub user: String,
    pub password: Zeroizing<String>,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// Implicit TLS.
    Tls,
    /// STARTTLS is required.
    StartTls,
    /// STARTTLS if the server offers it.
    StartTlsIfOffered,
    /// No encryption.
    Clear,
}

impl MailUrl {
    /// Parses `off`, `folder:PATH`, `smtp://…` or `smtps://…`. Returns `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self::Off);
        }
        if let Some(path) = text.strip_prefix("folder:") {
            return (!path.is_empty()).then(|| Self::Folder(path.into()));
        }
        Server::parse(text).map(Self::Smtp)
    }
}

impl Server {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let tls_at_once = match url.scheme() {
            "smtp" => false,
            "smtps" => true,
            _ => return None,
        };
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        if !bare || host.is_empty() {
            return None;
        }
        let decoded = |text| percent_decode_str(text).decode_utf8().ok().filter(|text| !text.contains('\0'));
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return None,
            (user, Some(password)) => {
                let password = Zeroizing::new(decoded(password)?.into_owned());
                Some(Login { user: decoded(user)?.into_owned(), password })
            }
        };
        let server = Self { host, port: 0, tls_at_once, login };
        let usual = match tls_at_once {
            true => 465,
            false if server.is_this_machine() => 25,
            false => 587,
        };
        Some(Self { port: url.port().unwrap_or(usual), ..server })
    }

    /// Returns how the connection is encrypted. Mail that doesn't leave this machine needs no TLS.
    pub(super) fn security(&self, mode: TlsMode) -> Security {
        match mode {
            _ if self.tls_at_once => Security::Tls,
            TlsMode::Required if self.is_this_machine() => Security::Clear,
            TlsMode::Required => Security::StartTls,
            TlsMode::Opportunistic => Security::StartTlsIfOffered,
            TlsMode::None => Security::Clear,
        }
    }

    /// Whether mail may leave this machine unencrypted.
    #[must_use]
    pub fn may_be_unencrypted(&self, mode: TlsMode) -> bool {
        !self.is_this_machine() && matches!(self.security(mode), Security::Clear | Security::StartTlsIfOffered)
    }

    /// Whether its password leaves this machine unencrypted.
    #[must_use]
    pub fn sends_its_password_unencrypted(&self, mode: TlsMode) -> bool {
        self.login.is_some() && !self.is_this_machine() && self.security(mode) == Security::Clear
    }

    fn is_this_machine(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

/// Omits the password.
impl fmt::Debug for MailUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Smtp(server) => server.fmt(f),
        }
    }
}

/// Omits the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, tls_at_once, .. } = self;
        let scheme = if *tls_at_once { "smtps" } else { "smtp" };
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mail_url_is_parsed_and_printed_without_its_password() {
        let table = [
            ("off", "off"),
            ("folder:mail", "folder:mail"),
            ("folder:/var/lib/vestibule/mail", "folder:/var/lib/vestibule/mail"),
            ("smtp://ann:a%40secret@mail.example.org:587", "smtp://mail.example.org:587"),
            ("smtp://mail.example.org", "smtp://mail.example.org:587"),
            ("smtps://ann:secret@mail.example.org", "smtps://mail.example.org:465"),
            ("smtp://localhost", "smtp://localhost:25"),
            ("smtp://localhost:1025", "smtp://localhost:1025"),
            ("smtp://[2001:db8::1]", "smtp://[2001:db8::1]:587"),
        ];
        for (text, shown) in table {
            assert_eq!(format!("{:?}", MailUrl::parse(text).expect(text)), shown);
        }
        let bad = [
            "",
            "on",
            "mail",
            "folder:",
            "smtp:",
            "smtp://",
            "http://mail.example.org",
            "smtp://ann@mail.example.org",
            "smtp://:secret@mail.example.org",
            "smtp://ann:sec%00ret@mail.example.org",
            "smtp://mail.example.org/x",
            "smtp://mail.example.org?tls=opportunistic",
        ];
        for text in bad {
            assert_eq!(MailUrl::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_smtp_url_is_decoded() {
        let server = Server::parse("smtp://ann%40example.org:a%3A%2Bb@[::1]:1025").expect("a server");
        assert_eq!((server.host.as_str(), server.port), ("::1", 1025), "the address has no brackets");
        let login = server.login.expect("a login");
        assert_eq!((login.user.as_str(), login.password.as_str()), ("ann@example.org", "a:+b"));
    }

    #[test]
    fn mail_is_encrypted_unless_configured_otherwise() {
        let server = |text: &str| Server::parse(text).expect(text);
        for remote in
            ["smtp://mail.example.org", "smtp://192.0.2.1", "smtp://[2001:db8::1]", "smtp://localhost.example.org"]
        {
            let server = server(remote);
            assert_eq!(server.security(TlsMode::Required), Security::StartTls, "{remote}");
            assert_eq!(server.security(TlsMode::Opportunistic), Security::StartTlsIfOffered);
            assert_eq!(server.security(TlsMode::None), Security::Clear);
            let exposed =
                [TlsMode::Required, TlsMode::Opportunistic, TlsMode::None].map(|mode| server.may_be_unencrypted(mode));
            assert_eq!(exposed, [false, true, true], "{remote}");
        }
        for local in ["smtp://localhost", "smtp://127.0.0.1:1025", "smtp://[::1]:1025"] {
            assert_eq!(server(local).security(TlsMode::Required), Security::Clear, "{local}");
            assert!(!server(local).may_be_unencrypted(TlsMode::None), "{local}");
        }
        for mode in [TlsMode::Required, TlsMode::Opportunistic, TlsMode::None] {
            assert_eq!(server("smtps://mail.example.org").security(mode), Security::Tls);
            assert!(!server("smtps://mail.example.org").may_be_unencrypted(mode));
        }
    }
}
