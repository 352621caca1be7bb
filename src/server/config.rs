//! The configuration. The repository's `Leptos.toml` holds every default; `vestibule.toml` in the working directory
//! overrides the defaults, and the environment overrides both.

mod layers;
mod limits;
mod machine;
mod source;
mod suggest;
mod values;
mod warnings;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use lettre::message::Mailbox;
use serde::Deserialize;
use toml::Table;
use url::{Host, Url};

use self::{
    layers::{deserialize, merge_env, merge_file},
    machine::automatic_permits,
    values::{
        choice, database_url, duration, email_domains, mail_url, mailbox, networks, optional_duration, optional_path,
        optional_socket_address, origins, public_url, socket_address,
    },
};
use crate::{
    domain::email_domain::{DomainRule, EmailDomain},
    http::{
        brand::{Brand, Logo},
        trust::Trust,
        trust::bare_name,
    },
    mail::{MailUrl, SmtpOptions, TlsMode},
    service::{
        Deadlines, MailPolicy, MailTemplates, Policy, RegistrationMode, RegistrationPolicy, SETTLED_WITHIN,
        backups::BackupSettings, passwords::HashPolicy,
    },
    store::{DatabaseUrl, LoginBackoff, RateLimit},
};

pub use self::source::ConfigSource;

/// The name of the configuration file.
pub const FILE_NAME: &str = "vestibule.toml";
/// The defaults, which also document each key.
pub const DEFAULTS: &str = include_str!("../../Leptos.toml");

/// The configuration, by section.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "each section's type documents it")]
pub struct Config {
    pub server: ServerConfig,
    pub database: DatabaseConfig,
    pub password: PasswordConfig,
    pub session: SessionConfig,
    pub registration: RegistrationConfig,
    pub brand: Brand,
    pub mail: MailConfig,
    pub rate_limit: RateLimitConfig,
    pub events: EventsConfig,
    pub backup: BackupConfig,
    pub metrics: MetricsConfig,
    pub log: LogConfig,
    /// The file that the configuration was read from.
    #[serde(skip)]
    pub source: ConfigSource,
}

/// The section `[server]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct ServerConfig {
    #[serde(deserialize_with = "socket_address")]
    pub address: SocketAddr,
    pub hosts: Vec<String>,
    #[serde(deserialize_with = "origins")]
    pub allowed_origins: Vec<String>,
    #[serde(deserialize_with = "public_url")]
    pub public_url: Option<Url>,
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    pub max_connections: u32,
    pub max_connections_per_address: u32,
    #[serde(deserialize_with = "duration")]
    pub header_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub response_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub stop_timeout: Duration,
}

/// The section `[database]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct DatabaseConfig {
    #[serde(deserialize_with = "database_url")]
    pub url: DatabaseUrl,
    pub connections: u32,
    #[serde(deserialize_with = "duration")]
    pub wait: Duration,
}

/// The section `[password]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct PasswordConfig {
    pub min_length: u32,
    pub argon2_memory_kib: u32,
    pub argon2_iterations: u32,
    pub argon2_parallelism: u32,
    pub hashing_threads: u32,
    pub hashing_queue: u32,
    #[serde(deserialize_with = "duration")]
    pub hashing_timeout: Duration,
}

/// The section `[session]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct SessionConfig {
    #[serde(deserialize_with = "duration")]
    pub idle: Duration,
    #[serde(deserialize_with = "duration")]
    pub max_lifetime: Duration,
    pub per_user: u32,
    #[serde(deserialize_with = "duration")]
    pub reauth_after: Duration,
}

/// The section `[registration]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct RegistrationConfig {
    #[serde(deserialize_with = "choice")]
    pub mode: RegistrationMode,
    #[serde(deserialize_with = "email_domains")]
    pub allowed_domains: Vec<EmailDomain>,
    #[serde(deserialize_with = "email_domains")]
    pub denied_domains: Vec<EmailDomain>,
    pub require_verified_email: bool,
    #[serde(deserialize_with = "duration")]
    pub unconfirmed_lasts: Duration,
    #[serde(deserialize_with = "duration")]
    pub pending_lasts: Duration,
}

/// The section `[mail]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct MailConfig {
    #[serde(deserialize_with = "mail_url")]
    pub url: MailUrl,
    #[serde(deserialize_with = "choice")]
    pub tls: TlsMode,
    #[serde(deserialize_with = "optional_path")]
    pub ca_file: Option<PathBuf>,
    pub hello_name: String,
    #[serde(deserialize_with = "mailbox")]
    pub from: Mailbox,
}

/// The section `[rate_limit]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct RateLimitConfig {
    pub login_burst: u32,
    pub login_per_minute: u32,
    pub register_burst: u32,
    pub register_per_hour: u32,
    pub account_free_failures: u32,
    #[serde(deserialize_with = "duration")]
    pub account_delay: Duration,
    #[serde(deserialize_with = "duration")]
    pub account_max_delay: Duration,
    #[serde(deserialize_with = "duration")]
    pub account_reset_after: Duration,
    pub token_calls_per_minute: u32,
}

/// The section `[events]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct EventsConfig {
    #[serde(deserialize_with = "duration")]
    pub keep: Duration,
    #[serde(deserialize_with = "duration")]
    pub keep_logins: Duration,
}

/// The section `[backup]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct BackupConfig {
    #[serde(deserialize_with = "optional_duration")]
    pub every: Option<Duration>,
    pub folder: PathBuf,
    pub keep: u32,
}

/// The section `[metrics]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct MetricsConfig {
    #[serde(deserialize_with = "optional_socket_address")]
    pub address: Option<SocketAddr>,
}

/// The section `[log]`. `Leptos.toml` documents each key.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct LogConfig {
    pub level: String,
    #[serde(deserialize_with = "choice")]
    pub format: LogFormat,
    pub addresses: bool,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// An error in the configuration: one line that also says how to fix it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Reads the configuration: the defaults, then the file, then the environment.
    ///
    /// The error names the first problem: a file that can't be read, an unknown key, or an invalid or unsafe value.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let (source, text) = source::find(file, Path::new(""))?;
        let name = match &source {
            ConfigSource::File(path) => path.display().to_string(),
            ConfigSource::Defaults | ConfigSource::DefaultsBeside(_) => FILE_NAME.to_owned(),
        };
        Ok(Self { source, ..Self::from_parts(&name, &text, env)? })
    }

    /// The defaults, without a file and without the environment.
    ///
    /// # Errors
    /// None: tests read them.
    pub fn load_defaults() -> Result<Self, ConfigError> {
        Self::from_parts(FILE_NAME, "", [])
    }

    fn from_parts(
        name: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut merged: Table =
            DEFAULTS.parse().map_err(|e| ConfigError(format!("the defaults can't be read: {e}")))?;
        // The error doesn't quote the line, which may hold a password.
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            let line = 1 + text.bytes().take(e.span().map_or(0, |span| span.start)).filter(|b| *b == b'\n').count();
            ConfigError(match duplicate(text, &e) {
                Some(words) => format!("{name}: line {line}: {words}."),
                None => format!("{name} can't be read: line {line}: {}.", e.message().replace('\n', " ")),
            })
        })?;
        merge_file(&mut merged, table, name)?;
        merge_env(&mut merged, env)?;
        let config: Self = deserialize(&merged)?;
        config.check()?;
        Ok(config)
    }

    /// The service's limits and rules.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let per = |span: Duration, count: u32| span / count.max(1);
        Policy {
            password_min_length: self.password.min_length,
            session_idle: self.session.idle,
            session_max_lifetime: self.session.max_lifetime,
            sessions_per_user: self.session.per_user,
            reauth_after: self.session.reauth_after,
            login: RateLimit {
                burst: self.rate_limit.login_burst,
                interval: per(Duration::from_mins(1), self.rate_limit.login_per_minute),
            },
            register: RateLimit {
                burst: self.rate_limit.register_burst,
                interval: per(Duration::from_hours(1), self.rate_limit.register_per_hour),
            },
            account: LoginBackoff {
                free: self.rate_limit.account_free_failures,
                first_delay: self.rate_limit.account_delay,
                longest_delay: self.rate_limit.account_max_delay,
                reset_after: self.rate_limit.account_reset_after,
                settled_within: self.password.hashing_timeout + SETTLED_WITHIN,
            },
            login_timeout: self.password.hashing_timeout,
            logins_waiting: self.password.hashing_queue,
            token_calls: self.rate_limit.token_calls_per_minute,
            mail: match self.mail.url {
                MailUrl::Off => MailPolicy::Off,
                MailUrl::Folder(_) => MailPolicy::Folder,
                MailUrl::Smtp(_) => MailPolicy::Smtp,
            },
            registration: RegistrationPolicy {
                mode: self.registration.mode,
                domains: match (&self.registration.allowed_domains, &self.registration.denied_domains) {
                    (allowed, _) if !allowed.is_empty() => DomainRule::Only(allowed.clone()),
                    (_, denied) if !denied.is_empty() => DomainRule::Except(denied.clone()),
                    _ => DomainRule::Any,
                },
                deadlines: Deadlines {
                    approval: self.registration.pending_lasts,
                    confirmation: self.registration.unconfirmed_lasts,
                },
            },
            service_names: self.service_names(),
            require_verified_email: self.registration.require_verified_email,
            log_addresses: self.log.addresses,
            keep_events: self.events.keep,
            keep_login_events: self.events.keep_logins,
        }
    }

    /// Which proxies, hosts and origins to trust.
    #[must_use]
    pub fn trust(&self) -> Trust {
        let server = &self.server;
        let public = server.public_url.as_ref();
        let name = public.and_then(|url| url.host_str()).map(str::to_owned);
        let named = server.hosts.iter().cloned().chain(name);
        Trust {
            proxies: server.trusted_proxies.clone(),
            hosts: named.map(|host| bare_name(&host).to_owned()).collect(),
            public_origin: public.map(|url| url.origin().ascii_serialization()),
            allowed_origins: server.allowed_origins.clone(),
            log_addresses: self.log.addresses,
        }
    }

    /// The names of the service and its hosts, which make a password easier to guess.
    fn service_names(&self) -> Vec<String> {
        let public = self.server.public_url.as_ref().and_then(Url::host_str).map(str::to_owned);
        let hosts = self.server.hosts.iter().cloned();
        ["vestibule".to_owned(), self.brand.service_name.clone()].into_iter().chain(public).chain(hosts).collect()
    }

    /// The URL that links to the server begin with, without a slash at its end. Without `server.public_url`, it is the
    /// address that the server listens on. A server that listens on all addresses is `localhost`.
    #[must_use]
    pub fn base_url(&self, address: SocketAddr) -> String {
        match &self.server.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None if address.ip().is_unspecified() => format!("http://localhost:{}", address.port()),
            None => format!("http://{address}"),
        }
    }

    /// The mail templates.
    #[must_use]
    pub fn mail_templates(&self, address: SocketAddr) -> MailTemplates {
        let url = self.base_url(address);
        let Brand { service_name, accent, logo, .. } = &self.brand;
        MailTemplates {
            service_name: service_name.clone(),
            url,
            accent: *accent,
            logo: logo.as_ref().and_then(Logo::png),
        }
    }

    /// The options for sending mail by SMTP.
    #[must_use]
    pub fn smtp_options(&self) -> SmtpOptions<'_> {
        let hello = match self.server.public_url.as_ref().and_then(Url::host) {
            _ if !self.mail.hello_name.is_empty() => self.mail.hello_name.clone(),
            Some(Host::Domain(name)) => name.to_owned(),
            // Address literals, in the syntax of RFC 5321, section 4.1.3.
            Some(Host::Ipv4(ip)) => format!("[{ip}]"),
            Some(Host::Ipv6(ip)) => format!("[IPv6:{ip}]"),
            None => "[127.0.0.1]".to_owned(),
        };
        SmtpOptions { tls: self.mail.tls, ca_file: self.mail.ca_file.as_deref(), hello }
    }

    /// When and where the server makes backups. `None` if it makes none.
    #[must_use]
    pub fn backup_settings(&self) -> Option<BackupSettings> {
        let BackupConfig { every, folder, keep } = &self.backup;
        Some(BackupSettings { every: (*every)?, folder: folder.clone(), keep: *keep as usize })
    }

    /// The parameters of password hashing on this machine.
    #[must_use]
    pub fn hash_policy(&self) -> HashPolicy {
        let password = &self.password;
        HashPolicy {
            memory_kib: password.argon2_memory_kib,
            iterations: password.argon2_iterations,
            parallelism: password.argon2_parallelism,
            permits: match password.hashing_threads {
                0 => automatic_permits(password.argon2_memory_kib),
                chosen => chosen,
            },
            queue: password.hashing_queue,
            queue_timeout: password.hashing_timeout,
        }
    }
}

/// Describes a duplicate section or key, if that is the error. Keys may be quoted, unlike values, which may be secret.
fn duplicate(text: &str, error: &toml::de::Error) -> Option<String> {
    let span = error.span().filter(|_| error.message() == "duplicate key")?;
    let key = text.get(span.clone())?.trim();
    let before = text.get(..span.start)?.lines().last().unwrap_or_default();
    Some(if before.trim_start().starts_with('[') {
        format!("the section [{key}] appears twice; merge its keys under one [{key}]")
    } else {
        format!("the key {key} appears twice in its section; remove one of the two lines")
    })
}
