//! The configuration: `Leptos.toml` as it is in this repository holds every default, a file of that name where the
//! program starts overrides them, and the environment overrides both.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::{Table, Value};

use crate::{
    service::{Allowance, Policy, hasher::HashPolicy},
    store::{AccountAttempt, DatabaseUrl},
};

/// The name of the file.
pub const FILE_NAME: &str = "Leptos.toml";
/// The defaults, which are the documentation too.
pub const DEFAULTS: &str = include_str!("../../Leptos.toml");
/// What the names of our environment variables begin with.
const ENV_PREFIX: &str = "VESTIBULE_";

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// How the server listens.
    pub server: ServerConfig,
    /// Where the data is.
    pub database: DatabaseConfig,
    /// How passwords are hashed.
    pub password: PasswordConfig,
    /// How long a login lasts.
    pub session: SessionConfig,
    /// How attempts are held back.
    pub throttle: ThrottleConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// The section `[server]`. What each key means stands in `Leptos.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct ServerConfig {
    pub address: SocketAddr,
    pub hosts: Vec<String>,
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    pub max_connections: u32,
    pub max_connections_per_address: u32,
    #[serde(deserialize_with = "duration")]
    pub header_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub answer_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub stop_timeout: Duration,
}

/// The section `[database]`. What each key means stands in `Leptos.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct DatabaseConfig {
    #[serde(deserialize_with = "database_url")]
    pub url: DatabaseUrl,
    pub connections: u32,
}

/// The section `[password]`. What each key means stands in `Leptos.toml`.
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
    pub hashing_patience: Duration,
}

/// The section `[session]`. What each key means stands in `Leptos.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct SessionConfig {
    #[serde(deserialize_with = "duration")]
    pub idle: Duration,
    #[serde(deserialize_with = "duration")]
    pub absolute: Duration,
    pub per_user: u32,
}

/// The section `[throttle]`. What each key means stands in `Leptos.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct ThrottleConfig {
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
    pub account_memory: Duration,
}

/// The section `[log]`. What each key means stands in `Leptos.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "Leptos.toml documents each key")]
pub struct LogConfig {
    pub level: String,
    pub format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Why the configuration can't be used, in one line that says what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Reads the configuration: the defaults, then the file, then the environment.
    ///
    /// # Errors
    /// The first thing that is wrong: a file that was named and can't be read, an unknown key, a value of the wrong
    /// kind or below what is safe.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(FILE_NAME));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && file.is_none() => String::new(),
            Err(e) => return Err(ConfigError(format!("{} can't be read: {e}.", path.display()))),
        };
        Self::from_parts(&path.display().to_string(), &text, env)
    }

    fn from_parts(
        name: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut merged: Table =
            DEFAULTS.parse().map_err(|e| ConfigError(format!("the defaults can't be read: {e}")))?;
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            ConfigError(format!("{name} can't be read: {}.", e.to_string().trim().replace('\n', " ")))
        })?;
        merge_file(&mut merged, table, name)?;
        merge_env(&mut merged, env)?;
        let config: Self = deserialize(&merged)?;
        config.check()?;
        Ok(config)
    }

    /// The rules' numbers.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let per = |span: Duration, count: u32| span / count.max(1);
        Policy {
            password_least: self.password.min_length,
            session_idle: self.session.idle,
            session_absolute: self.session.absolute,
            sessions_per_user: self.session.per_user,
            login: Allowance {
                burst: self.throttle.login_burst,
                interval: per(Duration::from_mins(1), self.throttle.login_per_minute),
            },
            register: Allowance {
                burst: self.throttle.register_burst,
                interval: per(Duration::from_hours(1), self.throttle.register_per_hour),
            },
            account: AccountAttempt {
                free: self.throttle.account_free_failures,
                first_delay: self.throttle.account_delay,
                longest_delay: self.throttle.account_max_delay,
                memory: self.throttle.account_memory,
            },
        }
    }

    /// How passwords are hashed on this machine.
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
            patience: password.hashing_patience,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let least = |key: &str, value: u32, least: u32| match value {
            v if v < least => Err(ConfigError(format!("{key} is {v}; the least that is safe is {least}."))),
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
        least("throttle.account_free_failures", self.throttle.account_free_failures, 1)?;
        if self.password.min_length > 64 {
            return Err(ConfigError("password.min_length is over 64; nobody could choose a password.".to_owned()));
        }
        if self.session.idle > self.session.absolute {
            return Err(ConfigError("session.idle is longer than session.absolute; make it shorter.".to_owned()));
        }
        if let Some(host) = self.server.hosts.iter().find(|host| !is_host_name(host)) {
            return Err(ConfigError(format!(
                "server.hosts has {host:?}; write a plain host name, such as app.example.org."
            )));
        }
        if self.log.level.parse::<tracing_subscriber::filter::Targets>().is_err() {
            return Err(ConfigError(format!(
                "log.level is {:?}; use error, warn, info, debug or trace.",
                self.log.level
            )));
        }
        Ok(())
    }
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

/// As many hashes at once as there are processors, as a quarter of the memory holds, and 8 at most.
fn automatic_permits(memory_kib: u32) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(8));
    let memory = total_memory_kib().map_or(8, |total| total / 4 / u64::from(memory_kib.max(1)));
    processors.min(u32::try_from(memory).unwrap_or(8)).clamp(1, 8)
}

/// The memory that this process may use, in KiB: the machine's, or the control group's if that is less.
fn total_memory_kib() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok()).map(|bytes| bytes / 1024);
    machine.into_iter().chain(group).min()
}

fn merge_file(merged: &mut Table, file: Table, name: &str) -> Result<(), ConfigError> {
    for (section, keys) in file {
        let Some(Value::Table(known)) = merged.get_mut(&section) else {
            return Err(ConfigError(format!("{name}: [{section}] is no section that there is.")));
        };
        let Value::Table(keys) = keys else {
            return Err(ConfigError(format!("{name}: {section} is a section; write [{section}].")));
        };
        for (key, value) in keys {
            let Some(default) = known.get_mut(&key) else {
                let keys: Vec<_> = known.keys().map(String::as_str).collect();
                return Err(ConfigError(format!("{name}: [{section}] has no key {key}. It has {}.", keys.join(", "))));
            };
            if default.type_str() != value.type_str() {
                return Err(ConfigError(format!("{name}: {section}.{key} must be a {}.", default.type_str())));
            }
            *default = value;
        }
    }
    Ok(())
}

fn merge_env(merged: &mut Table, env: impl IntoIterator<Item = (String, String)>) -> Result<(), ConfigError> {
    // Sorted, so that the same environment always fails in the same way; DATABASE_URL comes before our own name.
    let env: BTreeMap<String, String> = env.into_iter().collect();
    for (name, value) in env {
        let short = match name.strip_prefix(ENV_PREFIX) {
            Some(short) => short.to_ascii_lowercase(),
            None if name == "DATABASE_URL" => "database_url".to_owned(),
            None => continue,
        };
        let place = short.split_once('_').and_then(|(section, key)| merged.get_mut(section)?.get_mut(key));
        let Some(place) = place else {
            return Err(ConfigError(format!("the environment variable {name} names no key of {FILE_NAME}.")));
        };
        *place = match place {
            Value::Integer(_) => {
                let number = value.trim().parse();
                Value::Integer(
                    number.map_err(|_| ConfigError(format!("the environment variable {name} must be a number.")))?,
                )
            }
            Value::Array(_) => {
                let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
                Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
            }
            _ => Value::String(value),
        };
    }
    Ok(())
}

/// Turns the table into the types, one key at a time, so that an error can name its key.
fn deserialize(merged: &Table) -> Result<Config, ConfigError> {
    let whole = Config::deserialize(merged.clone());
    whole.map_err(|cause| {
        let culprit = merged.iter().find_map(|(section, keys)| {
            keys.as_table()?.keys().find_map(|key| is_culprit(merged, section, key).then(|| format!("{section}.{key}")))
        });
        let cause = cause.message().trim_end_matches('.').replace('\n', " ");
        ConfigError(format!("{}: {cause}.", culprit.unwrap_or_else(|| "the configuration".to_owned())))
    })
}

/// Whether the configuration would be read if this one key had its default.
fn is_culprit(merged: &Table, section: &str, key: &str) -> bool {
    let Ok(defaults) = DEFAULTS.parse::<Table>() else { return false };
    let mut mended = merged.clone();
    let default = defaults.get(section).and_then(|keys| keys.get(key));
    match (mended.get_mut(section).and_then(|keys| keys.get_mut(key)), default) {
        (Some(place), Some(default)) => *place = default.clone(),
        _ => return false,
    }
    Config::deserialize(mended).is_ok()
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let duration = humantime::parse_duration(&text);
    let duration =
        duration.map_err(|_| D::Error::custom(format!("{text:?} is no time; write it like \"90s\" or \"4h\"")))?;
    if duration.is_zero() || duration > Duration::from_hours(8784) {
        return Err(D::Error::custom(format!("{text:?} is not between a moment and a year")));
    }
    Ok(duration)
}

fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let network = |text: &String| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    texts
        .iter()
        .map(|text| network(text).ok_or(text))
        .collect::<Result<_, _>>()
        .map_err(|text| D::Error::custom(format!("{text:?} is no address and no network, such as 10.0.0.0/8")))
}

fn database_url<'de, D: Deserializer<'de>>(from: D) -> Result<DatabaseUrl, D::Error> {
    let text = String::deserialize(from)?;
    // The text may hold a password, so the error doesn't repeat it.
    DatabaseUrl::parse(&text).ok_or_else(|| D::Error::custom("write sqlite:FILE or postgres://user:password@host/name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_parts(FILE_NAME, file, env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())))
    }

    #[test]
    fn without_file_and_environment_the_documented_defaults_hold() {
        let config = load("", &[]).expect("the defaults are good");
        assert_eq!(config.server.address.to_string(), "127.0.0.1:8000");
        assert_eq!(config.database.url, DatabaseUrl::Sqlite("vestibule.db".into()));
        assert_eq!(config.session.absolute, Duration::from_hours(24));
        assert_eq!(config.policy().login.interval, Duration::from_secs(6));
        assert_eq!(config.policy().register.interval, Duration::from_mins(3));
    }

    #[test]
    fn the_environment_overrides_the_file_and_the_file_the_defaults() {
        let file = "[session]\nidle = \"1h\"\nper_user = 3\n[server]\naddress = \"127.0.0.1:1\"";
        let env = [
            ("VESTIBULE_SERVER_ADDRESS", "127.0.0.1:2"),
            ("VESTIBULE_SERVER_TRUSTED_PROXIES", "127.0.0.1, ::1/128"),
            ("DATABASE_URL", "postgres://u:p@h/d"),
            ("PATH", "/bin"),
        ];
        let config = load(file, &env).expect("good");
        assert_eq!(config.server.address.port(), 2);
        assert_eq!(config.session.idle, Duration::from_hours(1));
        assert_eq!(config.session.per_user, 3);
        assert_eq!(config.server.trusted_proxies.len(), 2);
        assert!(matches!(config.database.url, DatabaseUrl::Postgres(_)));
    }

    #[test]
    fn every_key_has_a_line_that_says_what_it_does() {
        let lines: Vec<&str> = DEFAULTS.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
            assert!(at > 0 && lines[at - 1].starts_with("# "), "{line} is not explained");
        }
    }

    /// A file, an environment, and a word of the error.
    type Broken<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

    #[test]
    fn twenty_broken_configurations_are_refused_in_one_line_r105() {
        let table: [Broken; 24] = [
            ("[server]\nadress = \"x\"", &[], "no key adress"),
            ("[sever]\n", &[], "[sever]"),
            ("server = 3", &[], "write [server]"),
            ("[server\n", &[], "can't be read"),
            ("[server]\naddress = 8000", &[], "server.address must be a string"),
            ("[server]\naddress = \"localhost\"", &[], "server.address"),
            ("[server]\nmax_connections = 0", &[], "server.max_connections"),
            ("[server]\nmax_connections = -1", &[], "server.max_connections"),
            ("[server]\nhosts = [\"https://x.org\"]", &[], "server.hosts"),
            ("[server]\ntrusted_proxies = [\"10.0.0.0/99\"]", &[], "server.trusted_proxies"),
            ("[server]\nbody_timeout = \"soon\"", &[], "server.body_timeout"),
            ("[server]\nbody_timeout = \"0s\"", &[], "server.body_timeout"),
            ("[database]\nurl = \"mysql://x\"", &[], "database.url"),
            ("[database]\nurl = \"sqlite::memory:\"", &[], "database.url"),
            ("[password]\nargon2_memory_kib = 8", &[], "19456"),
            ("[password]\nargon2_iterations = 1", &[], "password.argon2_iterations"),
            ("[password]\nmin_length = 4", &[], "password.min_length"),
            ("[password]\nmin_length = 100", &[], "password.min_length"),
            ("[session]\nidle = \"2days\"", &[], "session.idle"),
            ("[log]\nformat = \"xml\"", &[], "log.format"),
            ("[log]\nlevel = \"loud=very\"", &[], "log.level"),
            ("", &[("VESTIBULE_SERVER_ADRESS", "x")], "VESTIBULE_SERVER_ADRESS"),
            ("", &[("VESTIBULE_SESSION_PER_USER", "many")], "VESTIBULE_SESSION_PER_USER"),
            ("", &[("DATABASE_URL", "postgres+ssl://ann:secret@h/d")], "database.url"),
        ];
        for (file, env, word) in table {
            let error = load(file, env).map(|_| ()).expect_err(file).to_string();
            assert!(error.contains(word), "{file:?} {env:?}: {error}");
            assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn debug_tells_no_secret_r112() {
        let config = load("", &[("DATABASE_URL", "postgres://ann:secret@host/name")]).expect("good");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
