//! Facts about the repository: files that must agree, and rules that the compiler doesn't check.

use std::path::{Path, PathBuf};

use vestibule::server::config::DEFAULTS;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

#[test]
fn the_readme_tells_every_key_its_default_and_what_it_does() {
    let readme = read("README.md");
    let mut section = "";
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    let mut rows = 0;
    for pair in lines.windows(2) {
        if let Some(name) = pair[0].strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        if let Some((key, default)) = pair[1].split_once(" = ") {
            let row = format!("| `{section}.{key}` | `{default}` | {} |", pair[0].trim_start_matches("# "));
            assert!(readme.contains(&row), "README.md has no row {row}");
            rows += 1;
        }
    }
    let table = readme.split("| Key | Default |").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(table.lines().filter(|line| line.starts_with("| `")).count(), rows, "no extra row");
}

#[test]
fn sql_stays_inside_the_store_r82() {
    let folders = ["src/store", "src/tests", "src/bench"].map(|folder| root().join(folder));
    let inside = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
    let store = root().join("src/store.rs");
    for path in sources(&root().join("src")).into_iter().filter(|path| !inside(path) && *path != store) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("sqlx::") && !text.contains("use sqlx"), "{}", path.display());
    }
    // A Django site has its own names of tables and columns.
    let foreign = root().join("src/store/django.rs");
    for path in sources(&root().join("src/store")).into_iter().chain([store]).filter(|path| *path != foreign) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("AssertSqlSafe") && !text.contains("QueryBuilder"),
            "{}: only bound values",
            path.display()
        );
    }
}

/// `println!` and similar macros panic when the output can't be written, for example on a full disk.
#[test]
fn nothing_is_printed_in_a_way_that_panics() {
    let folders = ["src/tests", "src/bench", "src/fuzz"].map(|folder| root().join(folder));
    let own = |path: &Path| path.ends_with("src/build.rs") || folders.iter().any(|folder| path.starts_with(folder));
    for path in sources(&root().join("src")).into_iter().filter(|path| !own(path)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            assert!(!line.contains("print!(") && !line.contains("println!("), "{}: {line}", path.display());
        }
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

/// The names between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The numbers of requirements in a test's name: `_r13_r14` at its end.
fn numbers(test: &str) -> impl Iterator<Item = u32> {
    test.rsplit('_').map_while(|part| part.strip_prefix('r')?.parse().ok())
}

#[test]
fn security_md_lists_each_test_of_a_requirement_and_no_other_r120() {
    let code: Vec<String> =
        sources(&root().join("src")).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let text = read("SECURITY.md");
    let mut listed = std::collections::BTreeSet::new();
    for row in text.lines().filter(|line| line.starts_with("| R")) {
        let number: u32 = row[3..].split(' ').next().unwrap().parse().unwrap();
        let tests: Vec<&str> = quoted(row.rsplit('|').nth(1).unwrap()).collect();
        assert!(!tests.is_empty(), "R{number} has no test");
        for test in tests {
            if test.starts_with("end2end/") {
                assert!(read(test).contains(&format!("R{number}")), "{test} doesn't mention R{number}");
            } else {
                let declared = format!("fn {test}(");
                assert!(code.iter().any(|code| code.contains(&declared)), "R{number}: there is no test {test}");
                listed.insert((number, test.to_owned()));
            }
        }
    }
    for name in code.iter().flat_map(|code| code.split("fn ").skip(1)).filter_map(|rest| rest.split('(').next()) {
        for number in numbers(name) {
            assert!(listed.contains(&(number, name.to_owned())), "R{number} doesn't list {name}");
        }
    }
}

#[test]
fn names_of_functions_have_at_most_60_characters() {
    for path in sources(&root().join("src")) {
        let code = std::fs::read_to_string(&path).unwrap();
        for name in code.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next()) {
            let requirements: usize = numbers(name).map(|number| format!("_r{number}").len()).sum();
            assert!(name.len() - requirements <= 60, "{}: {name}", path.display());
        }
    }
}

#[test]
fn each_test_command_of_reliability_md_finds_a_test() {
    let files = sources(&root().join("src"));
    let code: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let functions = code.iter().flat_map(|code| code.split("fn ").skip(1)).filter_map(|rest| rest.split('(').next());
    // A filter may also be the name of a module.
    let modules = files.iter().map(|path| path.to_str().unwrap());
    let names: Vec<&str> = functions.chain(modules).collect();
    let text = read("RELIABILITY.md");
    let filters = text.split("`cargo test ").skip(1).filter_map(|rest| rest.split('`').next());
    let unknown: Vec<&str> =
        filters.filter(|filter| *filter != "NAME" && !names.iter().any(|name| name.contains(filter))).collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn the_security_document_says_what_it_must_r120() {
    let text = read("SECURITY.md").to_lowercase();
    for word in ["supported versions", "privately", "sessionstorage", "r1 ", "r120"] {
        assert!(text.contains(word), "{word}");
    }
}

/// The files that `cargo leptos watch` rebuilds for, besides the code and the bundle of style sheets.
fn watched() -> Vec<PathBuf> {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let entries = manifest["package"]["metadata"]["leptos"]["watch-additional-files"].as_array().unwrap();
    let paths = entries.iter().flat_map(|entry| entry["paths"].as_array().unwrap());
    paths.map(|path| root().join(path.as_str().unwrap()).canonicalize().unwrap()).collect()
}

#[test]
fn cargo_leptos_watch_covers_style_sheets_and_included_files() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    assert_eq!(manifest["package"]["metadata"]["leptos"]["style-bundle"].as_bool(), Some(true));
    let imports = read("style/main.css");
    let bundled = imports.lines().map(|line| line.trim_start_matches("@import \"").trim_end_matches("\";"));
    let style = root().join("style").canonicalize().unwrap();
    let bundled: Vec<PathBuf> = bundled.chain(["main.css"]).map(|name| style.join(name)).collect();
    for sheet in std::fs::read_dir(style).unwrap().map(|entry| entry.unwrap().path()) {
        assert!(bundled.contains(&sheet) || watched().contains(&sheet), "{}", sheet.display());
    }
    let tests = root().join("src/tests");
    for source in sources(&root().join("src")).into_iter().filter(|path| !path.starts_with(&tests)) {
        let code = std::fs::read_to_string(&source).unwrap();
        for name in code.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let file = source.parent().unwrap().join(name).canonicalize().unwrap();
            let is_code = file.extension().is_some_and(|kind| kind == "rs");
            assert!(is_code || watched().iter().any(|path| file.starts_with(path)), "{}", file.display());
        }
    }
}
