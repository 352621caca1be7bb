//! Facts about the repository itself: the files that must agree, and the rules that a compiler doesn't know.

use std::path::{Path, PathBuf};

use vestibule::server::config::DEFAULTS;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

#[test]
fn the_readme_tells_every_key_and_its_default() {
    let readme = read("README.md");
    let table: toml::Table = DEFAULTS.parse().unwrap();
    for (section, keys) in &table {
        for (key, default) in keys.as_table().unwrap() {
            let row = format!("| `{section}.{key}` | `{default}` |");
            assert!(readme.contains(&row), "README.md has no row {row}");
        }
    }
}

#[test]
fn sql_stays_inside_the_store_r82() {
    let inside = |path: &Path| path.starts_with(root().join("src/store")) || path.starts_with(root().join("src/tests"));
    let store = root().join("src/store.rs");
    for path in sources(&root().join("src")).into_iter().filter(|path| !inside(path) && *path != store) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("sqlx::") && !text.contains("use sqlx"), "{}", path.display());
    }
    for path in sources(&root().join("src/store")).into_iter().chain([store]) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("AssertSqlSafe") && !text.contains("QueryBuilder"),
            "{}: only bound values",
            path.display()
        );
    }
}

#[test]
fn the_lints_that_hold_the_house_are_on_r118() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let clippy = manifest["lints"]["clippy"].as_table().unwrap();
    for lint in ["unwrap_used", "panic", "indexing_slicing", "dbg_macro", "todo"] {
        assert_eq!(clippy[lint].as_str(), Some("deny"), "{lint}");
    }
    assert_eq!(manifest["lints"]["rust"]["unsafe_code"].as_str(), Some("deny"));
    assert_eq!(manifest["profile"]["release"]["overflow-checks"].as_bool(), Some(true));
    assert!(manifest["profile"]["release"].get("panic").is_none(), "R84: a panic must unwind");
}

#[test]
fn dependencies_are_locked_and_their_licences_listed_r116() {
    assert!(root().join("Cargo.lock").exists());
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    for section in ["advisories", "licenses", "bans", "sources"] {
        assert!(deny.contains_key(section), "{section}");
    }
}

#[test]
fn the_security_document_says_what_it_must_r120() {
    let text = read("SECURITY.md").to_lowercase();
    for word in ["supported versions", "privately", "sessionstorage", "r1 ", "r120"] {
        assert!(text.contains(word), "{word}");
    }
}
