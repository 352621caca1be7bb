//! Warnings about settings that work but may be mistakes.

use std::net::IpAddr;

use url::{Host, Url};

use super::Config;
use crate::mail::MailUrl;

impl Config {
    /// The warnings. Each also says what to do.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let server = &self.server;
        let secure = server.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
        let exposed = !server.address.ip().is_loopback();
        let mut warnings = Vec::new();
        if exposed && !secure {
            warnings.push(format!(
                "server.address is {}, and Vestibule speaks plain HTTP: passwords and tokens can be read in transit. Put an \
                 HTTPS proxy in front of it, and set server.public_url.",
                server.address
            ));
        }
        if (exposed || !server.hosts.is_empty()) && server.public_url.is_none() && self.mail.url != MailUrl::Off {
            warnings.push(format!(
                "links in emails lead to http://{}: set server.public_url to the site's public address.",
                server.address
            ));
        }
        if server.public_url.as_ref().is_some_and(|url| url.scheme() == "http" && !is_this_machine(url)) {
            warnings.push("server.public_url begins with http://: links in emails can be read in transit.".to_owned());
        }
        if self.registration.require_verified_email
            && let MailUrl::Folder(folder) = &self.mail.url
        {
            warnings.push(format!(
                "registration.require_verified_email is true, but emails are only stored in the folder {}: users can't \
                 confirm their email. Set mail.url to a mail server.",
                folder.display()
            ));
        }
        warnings.extend(self.database.url.warning());
        if let MailUrl::Smtp(server) = &self.mail.url
            && server.may_be_unencrypted(self.mail.tls)
        {
            let login = if server.sends_its_password_unencrypted(self.mail.tls) { " and the password" } else { "" };
            warnings.push(format!(
                "mail.tls is not \"required\": emails to {server:?}, with their links{login}, may be sent unencrypted. \
                 Anybody who reads them can take over accounts."
            ));
        }
        warnings
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}
