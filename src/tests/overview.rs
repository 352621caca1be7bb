//! README.md's table of what operators do on the page, through the API and at the command line.

use std::collections::BTreeSet;

use clap::CommandFactory as _;

use super::repository::read;
use crate::util::{App, Backend};

/// The names between backticks in one column of the table.
fn column(number: usize) -> BTreeSet<String> {
    let readme = read("README.md");
    let table = readme.split("| What | Page | API | Command |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(number).unwrap().to_owned());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn the_table_for_operators_lists_every_call_of_the_api() {
    let app = App::start(Backend::Sqlite).await;
    let paths = app.document().await["paths"].as_object().unwrap();
    let calls = paths.iter().filter(|(path, _)| path.starts_with("/api/admin/")).flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    assert_eq!(column(3), calls.collect());
}

#[test]
fn the_table_for_operators_lists_every_command() {
    let program = vestibule::cli::Cli::command();
    let nouns = ["user", "operator", "group", "invitation", "events"];
    let commands = nouns.iter().flat_map(|noun| {
        let group = program.find_subcommand(noun).expect("a command");
        group
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help")
            .map(move |verb| format!("{noun} {}", verb.get_name()))
    });
    assert_eq!(column(4), commands.collect());
}

#[tokio::test]
async fn the_table_for_operators_names_pages_that_exist() {
    let app = App::start(Backend::Sqlite).await;
    for path in column(2) {
        assert!(app.pipeline.routes().paths().contains(&path), "{path}");
    }
}
