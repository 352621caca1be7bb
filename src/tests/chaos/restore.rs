//! Makes a backup during a storm, restores it, and checks the guarantees of a restore.

use std::{
    path::Path,
    process::Output,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{CLIENTS, Stop, audit, command, ledger::Ledger, mail_folder::MailFolder, soundness::look_into};
use crate::util::{figure, program::Server};

const URL: &str = "sqlite:vestibule.db";

fn start(folder: &Path) -> Server {
    Server::start(command(folder).env("DATABASE_URL", URL), &folder.join("log"))
}

fn run(folder: &Path, args: &[&str]) {
    let Output { status, stdout, stderr } = command(folder).env("DATABASE_URL", URL).args(args).output().unwrap();
    let text = [stdout, stderr].concat();
    assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&text));
}

/// Clients that write until they are stopped.
struct Writers<'a> {
    written: AtomicUsize,
    ledgers: Vec<Mutex<Ledger<'a>>>,
}

impl<'a> Writers<'a> {
    fn new(first: usize, mail_folder: &'a MailFolder) -> Self {
        let ledgers = (first..first + CLIENTS).map(|client| Mutex::new(Ledger::new(client, mail_folder, false)));
        Self { written: AtomicUsize::new(0), ledgers: ledgers.collect() }
    }

    /// Lets the clients write while `operation` runs.
    fn write_while(&self, server: &Server, operation: impl FnOnce(&Self)) {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = Stop(&over);
            for ledger in &self.ledgers {
                scope.spawn(|| {
                    let mut ledger = ledger.lock().unwrap();
                    while !over.load(Ordering::Relaxed) {
                        if ledger.write(server.address) {
                            self.written.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            operation(self);
        });
    }

    /// Waits for that many more rounds.
    fn await_rounds(&self, rounds: usize) {
        let (before, deadline) = (self.written.load(Ordering::Relaxed), Instant::now() + Duration::from_mins(1));
        while self.written.load(Ordering::Relaxed) < before + rounds {
            assert!(Instant::now() < deadline, "no operation is acknowledged any more");
            thread::yield_now();
        }
    }

    fn into_ledgers(self) -> Vec<Ledger<'a>> {
        self.ledgers.into_iter().map(|ledger| ledger.into_inner().unwrap()).collect()
    }
}

/// Runs one drill. Everything that was written before the backup must exist, and every session must have ended. Each
/// operation during the backup must be complete or absent. Returns the number of accounts.
fn drill(rounds: usize) -> usize {
    let folder = TempDir::new().unwrap();
    let mail_folder = MailFolder::new(folder.path());
    let mut server = start(folder.path());
    let (before, meanwhile) = (Writers::new(0, &mail_folder), Writers::new(CLIENTS, &mail_folder));
    before.write_while(&server, |writers| writers.await_rounds(rounds));
    meanwhile.write_while(&server, |writers| {
        writers.await_rounds(CLIENTS);
        run(folder.path(), &["backup", "copy.db"]);
        writers.await_rounds(CLIENTS);
    });
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    // The restore undoes changes that the ledgers contain. Without this flag, it would disable their accounts.
    run(folder.path(), &["restore", "copy.db", "--trust-backup"]);
    let server = start(folder.path());
    let (mut before, mut meanwhile) = (before.into_ledgers(), meanwhile.into_ledgers());
    before.iter_mut().for_each(Ledger::end_every_login);
    meanwhile.iter_mut().for_each(Ledger::mark_changes_unknown);
    let accounts = audit(&mut before, server.address).accounts + audit(&mut meanwhile, server.address).accounts;
    assert!(server.stop().success());
    let runtime = Runtime::new().unwrap();
    let (mut faults, waiting) = runtime.block_on(look_into(URL, folder.path(), accounts));
    for ledger in &mut before {
        ledger.audit_mail(&waiting);
    }
    faults.extend(before.into_iter().chain(meanwhile).flat_map(|ledger| ledger.faults));
    assert!(faults.is_empty(), "{faults:#?}");
    accounts
}

#[test]
fn a_backup_made_under_load_restores_every_promise_r106_r107() {
    drill(6 * CLIENTS);
}

#[test]
#[ignore = "long: make chaos"]
fn chaos_backup() {
    let accounts: usize = (0..10).map(|_| drill(12 * CLIENTS)).sum();
    figure(&format!("10 backups in a storm, restored: {accounts} accounts, 0 faults"));
}
