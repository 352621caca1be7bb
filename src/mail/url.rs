//! Where mail goes, as it is configured.

use std::{fmt, net::IpAddr, path::PathBuf};

use lettre::{AsyncSmtpTransport, Tokio1Executor};
use url::{Host, Url};

/// Where mail goes.
#[derive(Clone, PartialEq, Eq)]
pub enum MailUrl {
    /// Nowhere: there is none.
    Off,
    /// Into a folder.
    Folder(PathBuf),
    /// To an SMTP server, by TLS but for one on this machine. In the form that [`AsyncSmtpTransport::from_url`] takes.
    Smtp(Url),
}

impl MailUrl {
    /// Reads `off`, `folder:PATH`, `smtp://…` or `smtps://…`. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self::Off);
        }
        if let Some(path) = text.strip_prefix("folder:") {
            return (!path.is_empty()).then(|| Self::Folder(path.into()));
        }
        let mut url = Url::parse(text).ok()?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let half = url.username().is_empty() != url.password().is_none();
        if !bare || half || url.host_str().is_none_or(str::is_empty) {
            return None;
        }
        // STARTTLS where the connection begins in the clear, and no going on without it.
        if url.scheme() == "smtp" && !is_this_machine(&url) {
            url.set_query(Some("tls=required"));
        }
        let taken = matches!(url.scheme(), "smtp" | "smtps")
            && AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str()).is_ok();
        taken.then_some(Self::Smtp(url))
    }
}

fn is_this_machine(url: &Url) -> bool {
    // A scheme that the URL standard doesn't know has its host as plain text.
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Without the password.
impl fmt::Debug for MailUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Smtp(url) => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_spelling_and_no_password_is_shown() {
        let table = [
            ("off", "off"),
            ("folder:mail", "folder:mail"),
            ("folder:/var/lib/vestibule/mail", "folder:/var/lib/vestibule/mail"),
            ("smtp://ann:a%40secret@mail.example.org:587", "smtp://mail.example.org:587"),
            ("smtps://ann:secret@mail.example.org", "smtps://mail.example.org"),
            ("smtp://localhost:1025", "smtp://localhost:1025"),
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
            "smtp://mail.example.org/x",
            "smtp://mail.example.org?tls=opportunistic",
        ];
        for text in bad {
            assert_eq!(MailUrl::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_leaves_this_machine_in_the_clear() {
        let tls = |text: &str| match MailUrl::parse(text) {
            Some(MailUrl::Smtp(url)) => url.scheme() == "smtps" || url.query() == Some("tls=required"),
            other => panic!("{text}: {other:?}"),
        };
        for remote in
            ["smtp://mail.example.org", "smtps://mail.example.org", "smtp://192.0.2.1", "smtp://[2001:db8::1]"]
        {
            assert!(tls(remote), "{remote}");
        }
        for local in ["smtp://localhost", "smtp://127.0.0.1:1025", "smtp://[::1]:1025"] {
            assert!(!tls(local), "{local}");
        }
    }
}
