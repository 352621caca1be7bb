//! Checks that a ledger names each expected mail by its kind in the queue. A storm rarely tests this, because few mails
//! are still queued at its end.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    command,
    ledger::{Counts, Ledger},
    mail_folder::MailFolder,
};
use crate::util::program::Server;

/// Copies every mail that enters the queue.
const KEEP: &str = "CREATE TABLE posted (kind TEXT, user_id TEXT, address TEXT); \
    CREATE TRIGGER keep AFTER INSERT ON mails \
    BEGIN INSERT INTO posted VALUES (NEW.kind, NEW.user_id, NEW.address); END";

/// The kind and the address of each copied mail.
const POSTED: &str = "SELECT kind, CASE WHEN address = '' THEN COALESCE(email, '') ELSE address END \
    FROM posted LEFT JOIN users ON users.id = user_id";

async fn open(folder: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite:{}", folder.join("vestibule.db").display())).await.unwrap()
}

/// Whether each operation that sends a mail was done.
fn all_done(counts: Counts) -> bool {
    let Counts { changed, issued, confirmed, reset, moved, .. } = counts;
    [changed, issued, confirmed, reset, moved].iter().all(|count| *count > 0)
}

#[test]
fn each_promised_mail_is_in_the_queue_with_its_kind_r94() {
    let (folder, runtime) = (TempDir::new().unwrap(), Runtime::new().unwrap());
    let mail_folder = MailFolder::new(folder.path());
    let mut command = command(folder.path());
    let server = Server::start(command.env("DATABASE_URL", "sqlite:vestibule.db"), &folder.path().join("log"));
    runtime.block_on(async { sqlx::raw_sql(KEEP).execute(&mut open(folder.path()).await).await.unwrap() });
    let mut ledger = Ledger::new(0, &mail_folder, false);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !all_done(ledger.counts) {
        assert!(Instant::now() < deadline, "some operations are never done: {:?}", ledger.counts);
        ledger.write(server.address);
    }
    assert!(server.stop().success());
    let posted: Vec<(String, String)> =
        runtime.block_on(async { sqlx::query_as(POSTED).fetch_all(&mut open(folder.path()).await).await.unwrap() });
    let missing = ledger.missing_from(&posted);
    assert!(missing.is_empty(), "{missing:#?} are not among {posted:#?}");
    assert!(ledger.faults.is_empty(), "{:#?}", ledger.faults);
}
