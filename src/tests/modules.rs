//! The dependencies between modules and between files, as the paths in the sources show them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::repository::{read, root, sources};

/// A module's path below the crate, such as `["store", "users"]`.
type Module = Vec<String>;

/// The sources without their unit tests, by module.
fn modules() -> BTreeMap<Module, String> {
    let src = root().join("src");
    let apart = ["main.rs", "lib.rs", "build.rs", "tests", "bench", "fuzz"].map(|name| src.join(name));
    let own = sources(&src).into_iter().filter(|path| !apart.iter().any(|apart| path.starts_with(apart)));
    own.map(|path| (module(&src, &path), code(&std::fs::read_to_string(&path).unwrap()))).collect()
}

fn module(src: &Path, file: &Path) -> Module {
    let name = file.strip_prefix(src).unwrap().with_extension("");
    name.iter().map(|part| part.to_str().unwrap().to_owned()).collect()
}

/// A text without its comments and unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths in a text that begin at the crate or at the parent module. A tree in braces has one path for each leaf.
fn paths(text: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
                leaves(&text[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Collects the paths at the beginning of a text. Returns what follows them.
fn leaves<'a>(text: &'a str, prefix: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> &'a str {
    let mut rest = text.trim_start();
    let mut path = prefix.to_vec();
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        path.extend(Some(&rest[..end]).filter(|name| !name.is_empty()));
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(next) if next.starts_with('{') => {
                rest = &next[1..];
                while !rest.trim_start().starts_with('}') {
                    rest = leaves(rest, &path, found).trim_start();
                    rest = rest.strip_prefix(',').unwrap_or(rest);
                }
                return &rest.trim_start()[1..];
            }
            Some(next) => rest = next,
            None => break,
        }
    }
    found.push(path);
    // An alias.
    rest.strip_prefix(" as ").map_or(rest, |alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The modules that each module uses. A module and the modules inside it are one unit. Their use of each other isn't
/// listed.
fn dependencies() -> BTreeMap<Module, BTreeSet<Module>> {
    let modules = modules();
    let target = |from: &Module, path: &[&str]| {
        let ups = path.iter().take_while(|part| **part == "super").count();
        let base = if ups > 0 { from[..from.len() - ups].to_vec() } else { Vec::new() };
        let names = path.iter().skip(ups.max(1)).map(|part| (*part).to_owned());
        let whole: Module = base.into_iter().chain(names).collect();
        (1..=whole.len()).rev().map(|length| whole[..length].to_vec()).find(|module| modules.contains_key(module))
    };
    let uses = |(from, text): (&Module, &String)| {
        let all = paths(text).into_iter().filter_map(|path| target(from, &path));
        let others = all.filter(|to| !to.starts_with(from) && !from.starts_with(to)).collect();
        (from.clone(), others)
    };
    modules.iter().map(uses).collect()
}

#[test]
fn paths_are_read_from_every_spelling() {
    let text = "use crate::{a::{self, B}, c as d};\nuse super::super::e::F;\nlet g = crate::g::h();";
    let mut read: Vec<String> = paths(text).into_iter().map(|path| path.join("::")).collect();
    read.sort();
    assert_eq!(read, ["crate::a::B", "crate::a::self", "crate::c", "crate::g::h", "super::super::e::F"]);
}

/// ARCHITECTURE.md gives the order in one line of arrows.
#[test]
fn each_module_uses_only_those_below_it() {
    let document = read("ARCHITECTURE.md");
    let line = document.lines().find(|line| line.starts_with("cli → ")).expect("the order of the modules");
    let order: Vec<&str> = line.split(" → ").map(str::trim).collect();
    let place = |module: &Module| {
        order.iter().position(|name| *name == module[0]).unwrap_or_else(|| panic!("{} isn't listed", module[0]))
    };
    for (from, used) in dependencies() {
        for to in used {
            assert!(place(&from) <= place(&to), "{} uses {}", from.join("::"), to.join("::"));
        }
    }
}

#[test]
fn no_file_uses_itself_by_way_of_others() {
    let dependencies = dependencies();
    for (file, used) in &dependencies {
        let (mut seen, mut open): (BTreeSet<&Module>, Vec<&Module>) = (BTreeSet::new(), used.iter().collect());
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&dependencies[next]);
            }
        }
        assert!(!seen.contains(file), "{} is in a cycle", file.join("::"));
    }
}
