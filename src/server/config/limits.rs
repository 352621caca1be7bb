//! What can be read, and still makes no server that is safe or works.

use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{Config, ConfigError};
use crate::mail::MailUrl;

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let least = |key: &str, value: u32, least: u32| match value {
            v if v < least => Err(ConfigError(format!("{key} is {v}; the least is {least}."))),
            _ => Ok(()),
        };
        least("server.max_connections", self.server.max_connections, 1)?;
        least("server.max_connections_per_address", self.server.max_connections_per_address, 1)?;
        least("database.connections", self.database.connections, 1)?;
        least("password.min_length", self.password.min_length, 8)?;
        least("password.argon2_memory_kib", self.password.argon2_memory_kib, 19456)?;
        least("password.argon2_iterations", self.password.argon2_iterations, 2)?;
        least("password.argon2_parallelism", self.password.argon2_parallelism, 1)?;
        least("session.per_user", self.session.per_user, 1)?;
        least("throttle.login_burst", self.throttle.login_burst, 1)?;
        least("throttle.login_per_minute", self.throttle.login_per_minute, 1)?;
        least("throttle.register_burst", self.throttle.register_burst, 1)?;
        least("throttle.register_per_hour", self.throttle.register_per_hour, 1)?;
        let most = |key: &str, value: u32, most: u32| match value {
            v if v > most => Err(ConfigError(format!("{key} is {v}; the most is {most}, one a millisecond."))),
            _ => Ok(()),
        };
        most("throttle.login_per_minute", self.throttle.login_per_minute, 60_000)?;
        most("throttle.register_per_hour", self.throttle.register_per_hour, 3_600_000)?;
        least("throttle.account_free_failures", self.throttle.account_free_failures, 1)?;
        if self.password.min_length > 64 {
            return Err(ConfigError("password.min_length is over 64; nobody could choose a password.".to_owned()));
        }
        if self.session.idle > self.session.absolute {
            return Err(ConfigError("session.idle is longer than session.absolute; make it shorter.".to_owned()));
        }
        if self.session.proof > Duration::from_hours(1) {
            return Err(ConfigError("session.proof is over 1h; make it shorter.".to_owned()));
        }
        if matches!(self.mail.url, MailUrl::Smtp(_)) && self.server.public_url.is_none() {
            return Err(ConfigError(
                "mail is sent, and its links need an address: set server.public_url, such as https://accounts.example.org."
                    .to_owned(),
            ));
        }
        if matches!(self.mail.url, MailUrl::Smtp(_)) && self.mail.from.email.domain() == "localhost" {
            return Err(ConfigError(
                "mail is sent from an address at localhost, which mail servers refuse: set mail.from.".to_owned(),
            ));
        }
        if !self.registration.allowed_domains.is_empty() && !self.registration.denied_domains.is_empty() {
            return Err(ConfigError(
                "registration.allowed_domains and registration.denied_domains are both set; keep one of the two: \
                 what is not allowed is denied."
                    .to_owned(),
            ));
        }
        if self.registration.require_verified_email && self.mail.url == MailUrl::Off {
            return Err(ConfigError(
                "registration.require_verified_email needs mail, and mail.url is off; change one of the two."
                    .to_owned(),
            ));
        }
        if let Some(host) = self.server.hosts.iter().find(|host| !is_host_name(host)) {
            return Err(ConfigError(format!(
                "server.hosts has {host:?}; write a plain host name, such as app.example.org."
            )));
        }
        if !is_log_filter(&self.log.level) {
            return Err(ConfigError(format!(
                "log.level is {:?}; use error, warn, info, debug or trace.",
                self.log.level
            )));
        }
        Ok(())
    }
}

/// Levels, and levels of targets. A word that is no level would be taken for a target, and silence all others.
fn is_log_filter(text: &str) -> bool {
    let is_level = |part: &str| part.trim().parse::<LevelFilter>().is_ok();
    text.parse::<Targets>().is_ok() && text.split(',').all(|part| part.contains('=') || is_level(part))
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}
