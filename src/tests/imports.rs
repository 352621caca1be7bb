//! Importing accounts from another system, on both databases.
//!
//! The sample is the database of a site that Django made, with a user model of its own. Most of its hashes were replaced by
//! ones with fewer iterations, so that the tests are quick.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use vestibule::{
    domain::{identifier::Identifier, source_account::SourceAccount},
    mail::MailUrl,
    service::{
        admin::{Command, Reply},
        imports::{ImportOptions, ImportedRow, Note, RowOutcome},
    },
    store::{
        DatabaseUrl,
        django::{DjangoOptions, DjangoSource},
    },
};

use crate::util::{
    App, Backend,
    actors::Client as _,
    macros::{both, snapshot},
    postgres,
};

both! {
    everyone_of_a_django_site_logs_in_as_before_r22_r145,
    an_import_reports_what_is_different_here_r145,
    a_repeated_import_changes_nothing_r145,
    an_interrupted_import_ends_like_a_whole_one_r145,
    a_dry_run_reports_the_same_and_changes_nothing_r145,
    a_repeated_import_updates_accounts_that_are_not_used_yet_r145,
    an_imported_account_that_is_used_is_kept_r145,
    an_account_that_was_here_before_is_left_alone_r145,
    a_token_of_django_works_until_it_ends_or_is_revoked_r32_r145,
    an_account_without_a_password_gets_a_mail_r145,
    a_failed_login_takes_as_long_as_with_any_hash_r14_r146,
    imported_hashes_are_forgotten_once_all_are_replaced_r146,
    an_export_names_the_origin_of_an_account_r110,
}

const PEOPLE: [(&str, &str); 17] = [
    ("ann", "violet-anchor-37-meadow"),
    ("bob@example.org", "bobs-lantern-58-river"),
    ("carol", "carols-harbour-21-sky"),
    ("dave", "daves-orchard-64-stone"),
    ("heidi.long@example.org", "heidis-garden-47-lamp"),
    ("ivan", "other-ivans-81-paper"),
    ("juergen@example.org", "juergens-kettle-12-moss"),
    ("kim-work", "kims-basket-55-wind"),
    ("leo@example.org", "leos-marble-29-reed"),
    ("mia@example.org", "mias-copper-68-fern"),
    ("nils@example.org", "nils-saddle-14-tide"),
    ("admin", "admins-anvil-93-grove"),
    ("oscar@bücher.example", "oscars-candle-31-dune"),
    ("peggy", "cafe\u{301}-peggy-77-loom"),
    ("peggy", "caf\u{e9}-peggy-77-loom"),
    ("sam.old-name_1", "sams-ladder-40-vine"),
    ("sam+news@example.org", "sams-ladder-40-vine"),
];

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/fixtures/django-site.sqlite3")
}

/// All accounts of a site.
async fn accounts_of(url: &DatabaseUrl) -> Vec<SourceAccount> {
    let mut source = DjangoSource::open(url, &DjangoOptions::default()).await.unwrap();
    let mut accounts = Vec::new();
    loop {
        let page = source.next_page().await.unwrap();
        if page.is_empty() {
            break;
        }
        accounts.extend(page);
    }
    source.close().await;
    // As the command does with accounts that share an email: the latest login first.
    accounts.sort_by_key(|account| std::cmp::Reverse(account.last_login_at));
    accounts
}

async fn site() -> Vec<SourceAccount> {
    accounts_of(&DatabaseUrl::Sqlite(sample())).await
}

fn with_tokens() -> ImportOptions {
    ImportOptions { token_days: Some(90), ..ImportOptions::default() }
}

impl App {
    async fn import_with(&self, options: ImportOptions, accounts: Vec<SourceAccount>) -> Vec<ImportedRow> {
        let command = Command::Import { source: "django".to_owned(), options, accounts };
        match self.administer(command).await {
            Reply::Imported { rows } => rows,
            other => panic!("{other:?}"),
        }
    }

    async fn import(&self, accounts: Vec<SourceAccount>) -> Vec<ImportedRow> {
        self.import_with(with_tokens(), accounts).await
    }

    async fn hash_of(&self, name: &str) -> String {
        self.store.find_credential(&Identifier::parse(name)).await.unwrap().unwrap().password_hash
    }

    /// Everything that an import stores, except random values.
    async fn stored(&self) -> Vec<String> {
        let mut stored = Vec::new();
        for listed in self.store.list_users("", 500).await.unwrap() {
            let user = listed.user;
            let imports = self.store.imports_of(&user.id).await.unwrap();
            let hash = self.hash_of(&user.email).await;
            let tokens = self.store.list_access_tokens(&user.id, self.now()).await.unwrap().len();
            stored.push(format!(
                "{} {} {} {:?} {:?} {hash} {tokens} {imports:?}",
                user.email,
                user.username,
                user.created_at.to_rfc3339(),
                user.disabled_at,
                user.groups
            ));
        }
        stored.sort();
        stored
    }
}

fn outcomes(rows: &[ImportedRow]) -> BTreeMap<RowOutcome, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.outcome).or_default() += 1;
    }
    counts
}

fn of<'a>(rows: &'a [ImportedRow], email: &str) -> &'a ImportedRow {
    rows.iter().find(|row| row.email == email).unwrap()
}

async fn everyone_of_a_django_site_logs_in_as_before_r22_r145(app: App) {
    app.import(site().await).await;
    for (name, password) in PEOPLE {
        let user = app.user(name);
        user.assert_cannot_log_in(&password.to_uppercase()).await;
        user.assert_can_log_in(password).await;
        assert!(app.hash_of(name).await.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{name}");
        user.assert_can_log_in(password).await;
    }
    // Disabled, without a password, with a weak one, and with an unknown format.
    for (name, password) in [
        ("erin", "erins-compass-90-field"),
        ("fred", "!"),
        ("fred", ""),
        ("grace", "graces-window-33-pine"),
        ("quinn", "!"),
        ("rob", ""),
    ] {
        app.user(name).assert_cannot_log_in(password).await;
    }
    let ann = app.user("ann").log_in_with(PEOPLE[0].1).await.me().await;
    assert_eq!(ann["groups"], serde_json::json!(["editors", "staff room"]));
}

async fn an_import_reports_what_is_different_here_r145(app: App) {
    let mut rows = app.import(site().await).await;
    rows.sort_by_key(|row| row.source_id.parse::<u32>().unwrap());
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let notes: Vec<String> = row.notes.iter().map(|note| serde_json::to_string(note).unwrap()).collect();
            let username = row.username.as_deref().unwrap_or("-");
            let line = format!("{} {} {username} {}", row.source_id, row.outcome.name(), notes.join(" "));
            line.trim_end().to_owned()
        })
        .collect();
    let text = lines.join("\n").replace(&"n".repeat(150), "n × 150");
    snapshot!(text, @r#"
    1 imported ann {"note":"was_staff"}
    2 imported bob
    3 imported carol
    4 imported dave
    5 imported erin {"note":"disabled"}
    6 imported fred {"note":"no_password","reason":"unusable"}
    7 imported grace {"note":"no_password","reason":"weak"}
    8 imported heidi
    9 skipped - {"note":"email_taken"}
    10 imported ivan
    11 imported jurgen {"note":"renamed","from":"jürgen"}
    12 imported kim-work {"note":"renamed","from":"kim@work"}
    13 imported ann-example.org {"note":"renamed","from":"ann@example.org"}
    14 imported m-14 {"note":"renamed","from":"m"}
    15 imported nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn {"note":"renamed","from":"n × 150"}
    16 imported admin {"note":"was_staff"}
    17 imported oscar
    18 imported peggy
    19 imported quinn {"note":"no_password","reason":"unknown"}
    20 imported rob {"note":"no_password","reason":"unusable"}
    21 imported sam.old-name_1
    "#);
}

async fn a_repeated_import_changes_nothing_r145(app: App) {
    let first = app.import(site().await).await;
    let stored = app.stored().await;
    app.clock.advance(Duration::from_hours(1));
    let second = app.import(site().await).await;
    let skipped = outcomes(&first)[&RowOutcome::Skipped];
    let unchanged = first.len() - skipped;
    let expected = BTreeMap::from([(RowOutcome::Unchanged, unchanged), (RowOutcome::Skipped, skipped)]);
    assert_eq!(outcomes(&second), expected);
    assert_eq!(app.stored().await, stored);
}

async fn an_interrupted_import_ends_like_a_whole_one_r145(app: App) {
    let whole = App::start(app.backend).await;
    whole.import(site().await).await;
    let mut accounts = site().await;
    app.import(accounts.drain(..7).collect()).await;
    app.import(site().await).await;
    assert_eq!(app.stored().await, whole.stored().await);
}

async fn a_dry_run_reports_the_same_and_changes_nothing_r145(app: App) {
    let dry = ImportOptions { dry_run: true, ..with_tokens() };
    let rows = app.import_with(dry, site().await).await;
    assert!(app.store.list_users("", 1).await.unwrap().is_empty());
    assert_eq!(rows, app.import(site().await).await);
}

fn change(accounts: &mut [SourceAccount], id: &str, change: impl Fn(&mut SourceAccount)) {
    accounts.iter_mut().filter(|account| account.id == id).for_each(change);
}

fn id_of(accounts: &[SourceAccount], username: &str) -> String {
    accounts.iter().find(|account| account.username == username).unwrap().id.clone()
}

async fn a_repeated_import_updates_accounts_that_are_not_used_yet_r145(app: App) {
    let mut accounts = site().await;
    app.import(accounts.clone()).await;
    let (ann, bob, erin, carol) =
        (id_of(&accounts, "ann"), id_of(&accounts, "bob"), id_of(&accounts, "erin"), id_of(&accounts, "carol"));
    let of_bob = accounts.iter().find(|account| account.id == bob).unwrap().password.clone();
    change(&mut accounts, &ann, |account| account.password.clone_from(&of_bob));
    change(&mut accounts, &erin, |account| account.disabled = false);
    change(&mut accounts, &carol, |account| account.disabled = true);
    let rows = app.import(accounts.clone()).await;
    assert_eq!(outcomes(&rows)[&RowOutcome::Updated], 3);
    app.user("ann").assert_can_log_in("bobs-lantern-58-river").await;
    app.user("erin").assert_can_log_in("erins-compass-90-field").await;
    app.user("carol").assert_cannot_log_in("carols-harbour-21-sky").await;

    // The operator disabled an account here, and the other site changes something else.
    app.administer(Command::Disable { who: "bob".to_owned(), force: false }).await;
    change(&mut accounts, &bob, |account| account.groups.push("night".to_owned()));
    assert_eq!(outcomes(&app.import(accounts).await)[&RowOutcome::Updated], 1);
    app.user("bob").assert_cannot_log_in("bobs-lantern-58-river").await;
}

async fn an_imported_account_that_is_used_is_kept_r145(app: App) {
    let mut accounts = site().await;
    app.import(accounts.clone()).await;
    let phone = app.user("bob").log_in_with("bobs-lantern-58-river").await;
    let bob = id_of(&accounts, "bob");
    change(&mut accounts, &bob, |account| {
        "!".clone_into(&mut account.password);
        account.disabled = true;
        account.groups = vec!["night".to_owned()];
    });
    let rows = app.import(accounts.clone()).await;
    assert_eq!(of(&rows, "bob@example.org").outcome, RowOutcome::Kept);
    assert_eq!(phone.me().await["groups"], serde_json::json!(["editors", "night"]));
    app.user("bob").assert_can_log_in("bobs-lantern-58-river").await;
    assert_eq!(of(&app.import(accounts).await, "bob@example.org").outcome, RowOutcome::Unchanged);
}

async fn an_account_that_was_here_before_is_left_alone_r145(app: App) {
    let ann = app.register("ann").await;
    let before = app.hash_of("ann").await;
    let rows = app.import(site().await).await;
    let row = of(&rows, "ann@example.org");
    assert_eq!((row.outcome, &row.notes[..]), (RowOutcome::Skipped, &[Note::Exists][..]));
    assert_eq!(app.hash_of("ann").await, before);
    ann.log_in().await.assert_logged_in().await;
    // The account with that email as its username gets another name.
    assert_eq!(of(&rows, "leo@example.org").username.as_deref(), Some("ann-example.org"));
}

async fn a_token_of_django_works_until_it_ends_or_is_revoked_r32_r145(app: App) {
    let tail = "0123456789abcdef".repeat(2);
    let me = async |first: &str| {
        let token = format!("Token {first}{tail}");
        app.get("me/").header("authorization", &token).await.status.as_u16()
    };
    assert_eq!(me("aaaaaaaa").await, 401);
    app.import(site().await).await;
    assert_eq!([me("aaaaaaaa").await, me("bbbbbbbb").await], [200, 200]);
    assert_eq!([me("eeeeeeee").await, me("cccccccc").await], [401, 401], "a disabled account, and none");
    let phone = app.user("ann").log_in_with(PEOPLE[0].1).await;
    let tokens = phone.get("tokens/").await.json();
    assert_eq!(tokens["tokens"][0]["name"], "From Django");
    app.administer(Command::RevokeSessions { who: "ann".to_owned() }).await;
    assert_eq!(me("aaaaaaaa").await, 401);
    app.import(site().await).await;
    assert_eq!(me("aaaaaaaa").await, 401, "another import doesn't restore it");
    assert_eq!(me("bbbbbbbb").await, 200);
    app.clock.advance(Duration::from_hours(24 * 90));
    assert_eq!(me("bbbbbbbb").await, 401);
}

async fn an_account_without_a_password_gets_a_mail_r145(app: App) {
    let app = app.restart_changed(|config| config.mail.url = MailUrl::parse("smtp://localhost").unwrap()).await;
    let options = ImportOptions { send_links: true, ..with_tokens() };
    app.import_with(options.clone(), site().await).await;
    app.import_with(options, site().await).await;
    app.clock.advance(Duration::from_mins(1));
    let mails = app.deliver().await;
    let to: Vec<&str> = mails.iter().map(|mail| mail.to.as_str()).collect();
    assert_eq!(to.len(), 4, "{to:?}");
    assert!(to.contains(&"fred@example.org") && !to.contains(&"ann@example.org"), "{to:?}");
    assert_eq!(mails[0].subject, "Choose a password for Vestibule");
    assert!(mails[0].to_text().contains("/forgot"), "{}", mails[0].to_text());
}

/// How long a failed login takes.
async fn failure(app: &App, name: &str) -> Duration {
    let started = Instant::now();
    app.user(name).assert_cannot_log_in("wrong").await;
    started.elapsed()
}

async fn a_failed_login_takes_as_long_as_with_any_hash_r14_r146(app: App) {
    app.register("own").await;
    let before = failure(&app, "unknown").await;
    app.import(site().await).await;
    // The first failure measures the cost of each format.
    failure(&app, "unknown").await;
    let foreign = failure(&app, "ann").await;
    for name in ["unknown2", "own", "fred", "erin", "bob", "carol"] {
        let taken = failure(&app, name).await;
        assert!(taken > before * 3 && taken * 2 > foreign, "{name}: {taken:?} instead of {foreign:?}");
    }
}

async fn imported_hashes_are_forgotten_once_all_are_replaced_r146(app: App) {
    let mut accounts = site().await;
    accounts.retain(|account| ["bob", "sam.old-name_1"].contains(&account.username.as_str()));
    app.import(accounts).await;
    assert_eq!(app.store.import_facts().await.unwrap().foreign.len(), 2);
    app.user("bob").assert_can_log_in("bobs-lantern-58-river").await;
    assert!(!app.store.forget_foreign_hashes().await.unwrap());
    app.user("sam.old-name_1").assert_can_log_in("sams-ladder-40-vine").await;
    assert!(app.store.forget_foreign_hashes().await.unwrap());
    assert!(app.store.import_facts().await.unwrap().foreign.is_empty());
}

async fn an_export_names_the_origin_of_an_account_r110(app: App) {
    app.import(site().await).await;
    let export = app.user("bob").log_in_with("bobs-lantern-58-river").await.get("export/").await.json();
    let imports = serde_json::json!([
        { "source": "django", "source_id": "2", "imported_at": "2026-11-22T12:00:00Z" }
    ]);
    assert_eq!(export["imports"], imports);
}

/// The same site, in PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_of_django_give_the_same_accounts_r145() {
    let url = postgres::fresh_database().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let dump = std::fs::read_to_string(sample().with_file_name("django-site.postgres.sql")).unwrap();
    let script: Vec<&str> = dump.lines().filter(|line| !line.starts_with('\\')).collect();
    sqlx::raw_sql(sqlx::AssertSqlSafe(script.join("\n"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let strip = |mut accounts: Vec<SourceAccount>| {
        for account in &mut accounts {
            // The dump has other sequences and times to the millisecond.
            account.last_login_at = account.last_login_at.map(|at| at / 1000);
            account.created_at = account.created_at.map(|at| at / 1000);
        }
        accounts.sort_by(|one, other| one.id.cmp(&other.id));
        accounts
    };
    let here = strip(accounts_of(&DatabaseUrl::parse(&url).unwrap()).await);
    let there = strip(site().await);
    assert_eq!(here.len(), there.len());
    for (here, there) in here.iter().zip(&there) {
        assert!(here == there, "{} {}: {:?} {:?}", here.id, here.username, here.groups, there.groups);
    }
    let app = App::start(Backend::Sqlite).await;
    assert_eq!(outcomes(&app.import(here).await).len(), 2);
}
