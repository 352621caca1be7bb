//! The real program killed in the middle of its work, again and again, and its acknowledgements held against it.

pub mod client;
mod ledger;

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use self::ledger::{Counts, Ledger};
use crate::util::{postgres::Cluster, program, program::Server};

const CLIENTS: usize = 4;

/// The program that is to stand this: the one named in the environment, or the tests' own.
pub fn command(folder: &Path) -> Command {
    let named = std::env::var_os("PROGRAM_UNDER_TEST");
    let path = named.as_deref().map_or(Path::new(env!("CARGO_BIN_EXE_vestibule")), Path::new);
    let mut command = program::program(path, folder);
    // Every client tells its address, and may be one of many who log in to one account: only so can a few do so much.
    command.env("VESTIBULE_SERVER_TRUSTED_PROXIES", "127.0.0.1");
    command.env("VESTIBULE_THROTTLE_ACCOUNT_FREE_FAILURES", "1000000");
    command
}

/// What is killed.
enum Victims {
    Program,
    /// Either it or its database.
    ProgramOrDatabase(Cluster),
}

/// Tells clients to end when it is dropped, also by a panic.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills a victim so many times while clients write, and audits what they were told.
fn storm(seed: u64, kills: usize, victims: Victims, url: &str) -> (Counts, Vec<String>) {
    println!("\nseed {seed}, {CLIENTS} clients");
    let folder = TempDir::new().unwrap();
    let start = || Server::start(command(folder.path()).env("DATABASE_URL", url), &folder.path().join("log"));
    let mut server = start();
    let (address, over, written) = (Mutex::new(server.address), AtomicBool::new(false), AtomicUsize::new(0));
    let with_database = matches!(victims, Victims::ProgramOrDatabase(_));
    let mut ledgers: Vec<Ledger> = (0..CLIENTS).map(|client| Ledger::new(client, with_database)).collect();
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut victims, runtime) = (victims, tokio::runtime::Runtime::new().unwrap());
    thread::scope(|scope| {
        let _stop = Stop(&over);
        for ledger in &mut ledgers {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let server = *address.lock().unwrap();
                    if ledger.write(server) {
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for kill in 1..=kills {
            let (before, patience) = (written.load(Ordering::Relaxed), Instant::now() + Duration::from_mins(1));
            pause(Duration::from_millis(rng.random_range(20..500)));
            // However slow the machine is, there is something to lose.
            while written.load(Ordering::Relaxed) == before {
                assert!(Instant::now() < patience, "nothing is acknowledged any more");
                thread::yield_now();
            }
            match &mut victims {
                Victims::ProgramOrDatabase(cluster) if rng.random() => {
                    cluster.kill();
                    runtime.block_on(cluster.start_again());
                }
                _ => {
                    server.process.kill().unwrap();
                    server.process.wait().unwrap();
                    server = start();
                    *address.lock().unwrap() = server.address;
                }
            }
            if kill % 20 == 0 {
                println!("{kill} kills");
            }
        }
    });
    let counts = audit(&mut ledgers, server.address);
    let mut faults: Vec<String> = ledgers.into_iter().flat_map(|ledger| ledger.faults).collect();
    if !server.stop().success() {
        faults.push("it did not stop well".to_owned());
    }
    if url.starts_with("sqlite:") {
        faults.extend(runtime.block_on(unsound(&folder.path().join("vestibule.db"))));
    }
    let Counts { registered, unknown, logged_in, logged_out, lost } = counts;
    println!(
        "{kills} kills with {}: {registered} registrations and {logged_out} logouts were acknowledged and held, {unknown} \
         registrations got no answer; of {logged_in} sessions {lost} were lost; {} faults",
        match (url.split(':').next(), with_database) {
            (Some("sqlite"), _) => "SQLite",
            (_, false) => "PostgreSQL, of the program alone",
            (_, true) => "PostgreSQL, of either",
        },
        faults.len()
    );
    (counts, faults)
}

fn audit(ledgers: &mut [Ledger], server: SocketAddr) -> Counts {
    thread::scope(|scope| {
        let audits: Vec<_> = ledgers.iter_mut().map(|ledger| scope.spawn(move || ledger.audit(server))).collect();
        audits.into_iter().map(|audit| audit.join().unwrap()).sum()
    })
}

#[expect(clippy::disallowed_methods, reason = "chance is what is wanted here, and no async thread waits")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// What SQLite finds wrong with its file.
async fn unsound(file: &Path) -> Vec<String> {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let integrity: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.unwrap();
    let strays = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut found: Vec<String> = integrity.into_iter().filter(|line| line != "ok").collect();
    found.extend(strays.iter().map(|row| format!("{row:?}")));
    found
}

fn on_sqlite(seed: u64, kills: usize) {
    let (counts, faults) = storm(seed, kills, Victims::Program, "sqlite:vestibule.db");
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(counts.registered >= kills && counts.logged_out > 0, "hardly anything was done: {counts:?}");
}

fn on_postgres(seed: u64, kills: usize) {
    let cluster = Cluster::start(true);
    let url = tokio::runtime::Runtime::new().unwrap().block_on(cluster.fresh_database());
    // While the database lives, no session is lost either.
    let (_, faults) = storm(seed, kills / 2, Victims::Program, &url);
    assert!(faults.is_empty(), "{faults:#?}");
    let url = tokio::runtime::Runtime::new().unwrap().block_on(cluster.fresh_database());
    let (counts, faults) = storm(seed, kills, Victims::ProgramOrDatabase(cluster), &url);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(counts.lost * 4 < counts.logged_in, "the last sessions, not any: {counts:?}");
    assert!(counts.registered >= kills && counts.logged_out > 0, "hardly anything was done: {counts:?}");
}

#[test]
fn kills_lose_nothing_that_was_acknowledged_on_sqlite_r94() {
    on_sqlite(1, 8);
}

#[test]
fn kills_lose_nothing_that_was_acknowledged_on_postgres_r94() {
    on_postgres(1, 6);
}

#[test]
#[ignore = "long: make chaos"]
fn chaos_kills_on_sqlite() {
    on_sqlite(seed(), 200);
}

#[test]
#[ignore = "long: make chaos"]
fn chaos_kills_on_postgres() {
    on_postgres(seed(), 100);
}

/// Another one in each run; it is printed, though no seed brings the same interleaving back.
#[expect(clippy::disallowed_methods, reason = "chance is what is wanted here")]
fn seed() -> u64 {
    rand::random()
}
