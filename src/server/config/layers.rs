//! One layer over another: the defaults, the file, the environment.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError, DEFAULTS, FILE_NAME};

/// What the names of our environment variables begin with.
const ENV_PREFIX: &str = "VESTIBULE_";

pub(super) fn merge_file(merged: &mut Table, file: Table, name: &str) -> Result<(), ConfigError> {
    for (section, keys) in file {
        let sections = merged.keys().cloned().collect::<Vec<_>>().join(", ");
        let Some(Value::Table(known)) = merged.get_mut(&section) else {
            return Err(ConfigError(format!("{name}: there is no section [{section}]. There are {sections}.")));
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

pub(super) fn merge_env(
    merged: &mut Table,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
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
            Value::Boolean(_) => {
                let wish = value.trim().parse();
                Value::Boolean(
                    wish.map_err(|_| ConfigError(format!("the environment variable {name} must be true or false.")))?,
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
pub(super) fn deserialize(merged: &Table) -> Result<Config, ConfigError> {
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
