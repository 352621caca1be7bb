//! Finds the file that the configuration is read from.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use toml::Table;

use super::{ConfigError, DEFAULTS, FILE_NAME};

/// The file name that Leptos's tools require. It is read if `vestibule.toml` is missing.
const OTHER_NAME: &str = "Leptos.toml";

/// Where the configuration comes from, besides the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigSource {
    /// No file was found.
    #[default]
    Defaults,
    /// The only file is this `Leptos.toml`, which belongs to another program: it has none of Vestibule's sections.
    DefaultsBeside(PathBuf),
    /// This file was read.
    File(PathBuf),
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => write!(f, "there is no {FILE_NAME}, so the defaults apply"),
            Self::DefaultsBeside(other) => {
                write!(f, "the defaults apply; {} has no Vestibule section and was not read", other.display())
            }
            Self::File(path) => write!(f, "read from {}", path.display()),
        }
    }
}

/// Finds and reads the file: the named one, or else the one in a folder. A file that exists must be readable.
pub(super) fn find(named: Option<&Path>, folder: &Path) -> Result<(ConfigSource, String), ConfigError> {
    if let Some(path) = named {
        return match read(path)? {
            Some(text) => Ok((ConfigSource::File(path.to_owned()), text)),
            None => Err(ConfigError(format!("there is no {}: check the path of the configuration.", path.display()))),
        };
    }
    for name in [FILE_NAME, OTHER_NAME] {
        let path = folder.join(name);
        let Some(text) = read(&path)? else { continue };
        if name == OTHER_NAME && is_foreign(&text) {
            return Ok((ConfigSource::DefaultsBeside(path), String::new()));
        }
        return Ok((ConfigSource::File(path), text));
    }
    Ok((ConfigSource::Defaults, String::new()))
}

fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(ConfigError(format!("{} can't be read: {cause}.", path.display()))),
    }
}

/// Whether a `Leptos.toml` belongs to another program: it is valid and has none of Vestibule's sections.
fn is_foreign(text: &str) -> bool {
    let (Ok(file), Ok(ours)) = (text.parse::<Table>(), DEFAULTS.parse::<Table>()) else { return false };
    !file.is_empty() && !file.keys().any(|section| ours.contains_key(section))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vestibule_toml_precedes_leptos_toml() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        let found = || find(None, folder.path());
        let (ours, other) = (folder.path().join(FILE_NAME), folder.path().join(OTHER_NAME));
        assert_eq!(found(), Ok((ConfigSource::Defaults, String::new())));
        write(OTHER_NAME, "[package]\nname = \"shop\"\n[leptos]\nsite-addr = \"127.0.0.1:3000\"\n");
        assert_eq!(found(), Ok((ConfigSource::DefaultsBeside(other.clone()), String::new())));
        write(OTHER_NAME, "[server]\naddress = \"127.0.0.1:1\"\n");
        assert_eq!(found().expect("found").0, ConfigSource::File(other.clone()));
        write(OTHER_NAME, "[server");
        assert_eq!(found().expect("found").0, ConfigSource::File(other), "an invalid file may be Vestibule's");
        write(FILE_NAME, "");
        assert_eq!(found(), Ok((ConfigSource::File(ours.clone()), String::new())));
        assert_eq!(find(Some(&ours), Path::new("/")).expect("found").0, ConfigSource::File(ours));
        let none = folder.path().join("none.toml");
        let refused = find(Some(&none), folder.path()).expect_err("a named file must exist").to_string();
        assert_eq!(refused, format!("there is no {}: check the path of the configuration.", none.display()));
    }
}
