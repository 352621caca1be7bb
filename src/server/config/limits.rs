//! Refuses settings that are valid by themselves but unsafe or unusable.

use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{Config, ConfigError, values::shown};
use crate::mail::{MailUrl, read_certificates};

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_numbers()?;
        self.check_times()?;
        if self.session.idle > self.session.max_lifetime {
            return Err(ConfigError("session.idle is longer than session.max_lifetime; shorten it.".to_owned()));
        }
        if self.rate_limit.account_delay > self.rate_limit.account_max_delay {
            return Err(ConfigError(
                "rate_limit.account_delay is longer than rate_limit.account_max_delay; shorten it.".to_owned(),
            ));
        }
        if matches!(self.mail.url, MailUrl::Smtp(_)) && self.server.public_url.is_none() {
            return Err(ConfigError(
                "links in emails need a public address: set server.public_url, such as https://accounts.example.org."
                    .to_owned(),
            ));
        }
        if matches!(self.mail.url, MailUrl::Smtp(_)) && self.mail.from.email.domain() == "localhost" {
            return Err(ConfigError(
                "mail.from is an address at localhost, which mail servers refuse: set mail.from.".to_owned(),
            ));
        }
        if !self.registration.allowed_domains.is_empty() && !self.registration.denied_domains.is_empty() {
            return Err(ConfigError(
                "registration.allowed_domains and registration.denied_domains are both set; remove one: with \
                 allowed_domains, all other domains are denied."
                    .to_owned(),
            ));
        }
        if let Some(path) = &self.mail.ca_file
            && let Err(cause) = read_certificates(path)
        {
            return Err(ConfigError(format!("mail.ca_file: {} can't be used: {cause}.", path.display())));
        }
        if !self.mail.hello_name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError("mail.hello_name must be a host name, such as mail.example.org.".to_owned()));
        }
        if self.registration.require_verified_email && self.mail.url == MailUrl::Off {
            return Err(ConfigError(
                "registration.require_verified_email requires mail, but mail.url is off; change one of the two."
                    .to_owned(),
            ));
        }
        if let Some(host) = self.server.hosts.iter().find(|host| !is_host_name(host)) {
            return Err(ConfigError(format!(
                "server.hosts has {}; write a plain host name, such as app.example.org.",
                shown(host)
            )));
        }
        if self.backup.every.is_some() && self.database.url.file().is_none() {
            return Err(ConfigError(format!(
                "backup.every is set, but the data is in {}, which the server can't copy: run pg_dump on a schedule, and remove \
                 backup.every.",
                self.database.url
            )));
        }
        if self.backup.folder.as_os_str().is_empty() {
            return Err(ConfigError("backup.folder is empty; name a folder, such as backups.".to_owned()));
        }
        if !is_log_filter(&self.log.level) {
            return Err(ConfigError(format!(
                "log.level is {}; use error, warn, info, debug or trace.",
                shown(&self.log.level)
            )));
        }
        Ok(())
    }
}

impl Config {
    /// Checks that each number is in its range. Outside of it, a limit has no effect or the server can't run.
    fn check_numbers(&self) -> Result<(), ConfigError> {
        let Self { server, database, password, session, rate_limit, backup, .. } = self;
        let table = [
            ("server.max_connections", server.max_connections, 1, 1_000_000),
            ("server.max_connections_per_address", server.max_connections_per_address, 1, 1_000_000),
            ("database.connections", database.connections, 1, 1000),
            ("password.min_length", password.min_length, 8, 64),
            ("password.argon2_memory_kib", password.argon2_memory_kib, 19_456, 4_194_304),
            ("password.argon2_iterations", password.argon2_iterations, 2, 100),
            ("password.argon2_parallelism", password.argon2_parallelism, 1, 64),
            ("password.hashing_threads", password.hashing_threads, 0, 1024),
            ("password.hashing_queue", password.hashing_queue, 0, 10_000),
            ("session.per_user", session.per_user, 1, 1000),
            ("rate_limit.login_burst", rate_limit.login_burst, 1, 10_000),
            ("rate_limit.login_per_minute", rate_limit.login_per_minute, 1, 60_000),
            ("rate_limit.register_burst", rate_limit.register_burst, 1, 10_000),
            ("rate_limit.register_per_hour", rate_limit.register_per_hour, 1, 100_000),
            ("rate_limit.account_free_failures", rate_limit.account_free_failures, 1, 100),
            ("backup.keep", backup.keep, 1, 100_000),
            ("rate_limit.token_calls_per_minute", rate_limit.token_calls_per_minute, 1, 60_000_000),
        ];
        table.into_iter().try_for_each(|(key, value, least, most)| match value {
            v if v < least => Err(ConfigError(format!("{key} is {v}; the minimum is {least}."))),
            v if v > most => Err(ConfigError(format!("{key} is {v}; the maximum is {most}."))),
            _ => Ok(()),
        })
    }

    /// Like [`Config::check_numbers`], for durations.
    fn check_times(&self) -> Result<(), ConfigError> {
        let Self { server, database, password, session, registration, rate_limit, events, backup, .. } = self;
        let (second, minute, hour) = (Duration::from_secs(1), Duration::from_mins(1), Duration::from_hours(1));
        let day = 24 * hour;
        let table = [
            ("server.header_timeout", server.header_timeout, second, 10 * minute),
            ("server.body_timeout", server.body_timeout, second, 10 * minute),
            ("server.response_timeout", server.response_timeout, second, 10 * minute),
            ("server.idle_timeout", server.idle_timeout, second, hour),
            ("server.stop_timeout", server.stop_timeout, second, hour),
            ("database.wait", database.wait, second / 1000, hour),
            ("password.hashing_timeout", password.hashing_timeout, second / 10, 10 * minute),
            ("session.idle", session.idle, minute, 90 * day),
            ("session.max_lifetime", session.max_lifetime, minute, 90 * day),
            ("session.reauth_after", session.reauth_after, second, hour),
            ("registration.unconfirmed_lasts", registration.unconfirmed_lasts, day, 3660 * day),
            ("registration.pending_lasts", registration.pending_lasts, day, 3660 * day),
            ("rate_limit.account_delay", rate_limit.account_delay, second / 10, hour),
            ("rate_limit.account_max_delay", rate_limit.account_max_delay, second, day),
            ("rate_limit.account_reset_after", rate_limit.account_reset_after, hour, 366 * day),
            ("events.keep", events.keep, day, 3660 * day),
            ("events.keep_logins", events.keep_logins, day, 3660 * day),
            // Without backups, any value.
            ("backup.every", backup.every.unwrap_or(day), minute, 366 * day),
        ];
        let text = humantime::format_duration;
        table.into_iter().try_for_each(|(key, value, least, most)| match value {
            v if v < least => Err(ConfigError(format!("{key} is {}; the minimum is {}.", text(v), text(least)))),
            v if v > most => Err(ConfigError(format!("{key} is {}; the maximum is {}.", text(v), text(most)))),
            _ => Ok(()),
        })
    }
}

/// Whether a text is a list of levels and of levels per target. Any other word would be parsed as a target, and disable
/// the log of all others.
fn is_log_filter(text: &str) -> bool {
    let is_level = |part: &str| part.trim().parse::<LevelFilter>().is_ok();
    text.parse::<Targets>().is_ok() && text.split(',').all(|part| part.contains('=') || is_level(part))
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
