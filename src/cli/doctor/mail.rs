//! The mail server.

use std::{fs, time::Duration};

use super::Finding;
use crate::{
    mail::{MailUrl, Mailer},
    server::config::Config,
};

/// How long the mail server may take.
const MAIL_TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to the mail server, encrypts the connection and logs in. Sends no mail.
pub async fn check(config: &Config) -> Finding {
    let server = match &config.mail.url {
        MailUrl::Off => return Finding::ok("mail", "off"),
        MailUrl::Folder(folder) => {
            let name = folder.display();
            return match fs::metadata(folder) {
                Ok(metadata) if !metadata.is_dir() => Finding::wrong("mail", format!("{name} is not a folder")),
                _ => Finding::look("mail", format!("emails are only stored in {name}: set mail.url to send them")),
            };
        }
        MailUrl::Smtp(server) => server,
    };
    let mailer = match Mailer::new(&config.mail.url, &config.mail.from, config.smtp_options()) {
        Ok(Some(mailer)) => mailer,
        Ok(None) => return Finding::ok("mail", "off"),
        Err(cause) => return Finding::wrong("mail", format!("{cause}. Check the section [mail].")),
    };
    match tokio::time::timeout(MAIL_TIMEOUT, mailer.check()).await {
        Ok(Ok(())) => Finding::ok("mail", format!("{server:?} accepts the connection and the login")),
        Ok(Err(error)) => Finding::wrong("mail", format!("{server:?}: {}. Check the section [mail].", error.cause)),
        Err(_) => Finding::wrong("mail", format!("{server:?} doesn't respond. Check mail.url and the firewall.")),
    }
}
