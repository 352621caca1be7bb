//! Merges the configuration's layers: the defaults, the file, the environment.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError, DEFAULTS, FILE_NAME, suggest::closest, values::shown};

/// The prefix of environment variables.
const ENV_PREFIX: &str = "VESTIBULE_";
/// The suffix of variables that hold the path of a file with a secret.
const FILE_SUFFIX: &str = "_FILE";
/// The keys whose values may hold a secret.
const SECRETS: [&str; 2] = ["database_url", "mail_url"];

pub(super) fn merge_file(merged: &mut Table, file: Table, name: &str) -> Result<(), ConfigError> {
    for (section, keys) in file {
        if !keys.is_table() && !merged.contains_key(&section) {
            return Err(key_outside(merged, &section, name));
        }
        let Some(Value::Table(known)) = merged.get(&section) else {
            return Err(unknown_section(merged, &section, name));
        };
        let Value::Table(keys) = keys else {
            return Err(ConfigError(format!("{name}: {section} is a section; write [{section}].")));
        };
        if let Some(key) = keys.keys().find(|key| !known.contains_key(*key)) {
            return Err(unknown_key(merged, &section, key, name));
        }
        for (key, value) in keys {
            let place = merged.get_mut(&section).and_then(|keys| keys.get_mut(&key));
            let Some(default) = place else { continue };
            if default.type_str() != value.type_str() {
                let kind = match default {
                    Value::Integer(_) => "a number",
                    Value::Array(_) => "a list in brackets",
                    Value::Boolean(_) => "true or false",
                    _ => "a string in quotes",
                };
                return Err(ConfigError(format!("{name}: {section}.{key} must be {kind}.")));
            }
            *default = value;
        }
    }
    Ok(())
}

fn unknown_section(known: &Table, section: &str, file: &str) -> ConfigError {
    let sections: Vec<&str> = known.keys().map(String::as_str).collect();
    ConfigError(match closest(section, sections.iter().copied()) {
        Some(meant) => format!("{file}: there is no section [{section}]; did you mean [{meant}]?"),
        None => format!("{file}: there is no section [{section}]. The sections are {}.", sections.join(", ")),
    })
}

fn key_outside(known: &Table, key: &str, file: &str) -> ConfigError {
    let mut sections = known.iter().filter(|(_, keys)| keys.as_table().is_some_and(|keys| keys.contains_key(key)));
    ConfigError(match sections.next() {
        Some((section, _)) => format!("{file}: {key} is outside of any section; write it under [{section}]."),
        None => format!(
            "{file}: {key} is outside of any section. Write each key under its section, such as address under [server]."
        ),
    })
}

fn unknown_key(known: &Table, section: &str, key: &str, file: &str) -> ConfigError {
    let keys = |section: &str| known.get(section).and_then(Value::as_table).into_iter().flat_map(Table::keys);
    let own: Vec<&str> = keys(section).map(String::as_str).collect();
    let elsewhere = known.keys().find(|other| keys(other).any(|known| known == key));
    let hint = match (closest(key, own.iter().copied()), elsewhere) {
        (_, Some(other)) => format!("; it belongs in [{other}]."),
        (Some(meant), None) => format!("; did you mean {meant}?"),
        (None, None) => format!(". Its keys are {}.", own.join(", ")),
    };
    ConfigError(format!("{file}: [{section}] has no key {key}{hint}"))
}

fn unknown_variable(known: &Table, name: &str) -> ConfigError {
    let sections = known.iter().filter_map(|(section, keys)| Some((section, keys.as_table()?)));
    let names = sections.flat_map(|(section, keys)| keys.keys().map(move |key| format!("{section}_{key}")));
    let names: Vec<String> = names.map(|key| format!("{ENV_PREFIX}{}", key.to_ascii_uppercase())).collect();
    let hint = match (name.strip_suffix(FILE_SUFFIX), closest(name, names.iter().map(String::as_str))) {
        (Some(plain), _) if names.iter().any(|known| known == plain) => {
            format!("; only values that hold a password can come from a file: use {plain}.")
        }
        (_, Some(meant)) => format!("; did you mean {meant}?"),
        _ => ".".to_owned(),
    };
    ConfigError(format!("the environment variable {name} matches no key of {FILE_NAME}{hint}"))
}

/// The key that an environment variable sets, as `section_key`. `None` if the variable isn't Vestibule's.
fn key_of(name: &str) -> Option<Cow<'static, str>> {
    match name.strip_prefix(ENV_PREFIX) {
        Some(short) => Some(short.to_ascii_lowercase().into()),
        None => (name == "DATABASE_URL").then_some("database_url".into()),
    }
}

/// The value of a key in the form `section_key`.
fn entry_of<'a>(merged: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    merged.iter_mut().find_map(|(section, keys)| keys.get_mut(key.strip_prefix(section.as_str())?.strip_prefix('_')?))
}

/// Replaces variables such as `VESTIBULE_MAIL_URL_FILE` with the contents of the files that they name.
///
/// The result is sorted, so that the same environment always fails in the same way. `DATABASE_URL` sorts before, and is
/// overridden by, `VESTIBULE_DATABASE_URL`.
fn secrets_from_files(
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut env: BTreeMap<String, String> = env.into_iter().collect();
    let names_file = |name: &String| {
        let plain = name.strip_suffix(FILE_SUFFIX)?;
        key_of(plain).is_some_and(|key| SECRETS.contains(&&*key)).then(|| (name.clone(), plain.to_owned()))
    };
    let files: Vec<(String, String)> = env.keys().filter_map(names_file).collect();
    for (name, plain) in files {
        let path = env.remove(&name).unwrap_or_default();
        if env.contains_key(&plain) {
            return Err(ConfigError(format!(
                "the environment variables {plain} and {name} are both set; keep one of the two."
            )));
        }
        let text = std::fs::read_to_string(&path).map_err(|cause| {
            ConfigError(format!("{name} names the file {}, which can't be read: {cause}.", shown(&path)))
        })?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        env.insert(plain, text.to_owned());
    }
    Ok(env)
}

pub(super) fn merge_env(
    merged: &mut Table,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (name, value) in secrets_from_files(env)? {
        let Some(short) = key_of(&name) else { continue };
        if entry_of(merged, &short).is_none() {
            return Err(unknown_variable(merged, &name));
        }
        let Some(place) = entry_of(merged, &short) else { continue };
        *place = match place {
            Value::Integer(_) => {
                let number = value.trim().parse();
                Value::Integer(
                    number.map_err(|_| ConfigError(format!("the environment variable {name} must be a number.")))?,
                )
            }
            Value::Boolean(_) => {
                let flag = value.trim().parse();
                Value::Boolean(
                    flag.map_err(|_| ConfigError(format!("the environment variable {name} must be true or false.")))?,
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

/// Deserializes the table. After an error, each key is tried alone, so that the message can name the wrong one.
pub(super) fn deserialize(merged: &Table) -> Result<Config, ConfigError> {
    Config::deserialize(merged.clone()).map_err(|whole| {
        let places = merged.iter().filter_map(|(section, keys)| Some((section, keys.as_table()?)));
        let mut keys = places.flat_map(|(section, keys)| keys.iter().map(move |(key, value)| (section, key, value)));
        let culprit =
            keys.find_map(|(section, key, value)| Some((format!("{section}.{key}"), error_of(section, key, value)?)));
        let (place, cause) = culprit.unwrap_or_else(|| ("the configuration".to_owned(), whole));
        let cause = cause.message().trim_end_matches('.').replace('\n', " ");
        ConfigError(format!("{place}: {cause}."))
    })
}

/// The error of one value while all others have their defaults, because several may be wrong.
fn error_of(section: &str, key: &str, value: &Value) -> Option<toml::de::Error> {
    let mut table = DEFAULTS.parse::<Table>().ok()?;
    *table.get_mut(section)?.get_mut(key)? = value.clone();
    Config::deserialize(table).err()
}
