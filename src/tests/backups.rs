//! Scheduled backups.

use std::{fs, path::PathBuf, time::Duration};

use vestibule::{
    domain::event::EventQuery,
    service::{
        admin::{Command, Reply},
        backups::{BackupSchedule, BackupSettings},
    },
    store::{DatabaseUrl, Store, backup::unfinished},
};

use crate::util::{App, Backend};

const HOUR: Duration = Duration::from_hours(1);

impl App {
    fn backups(&self) -> PathBuf {
        self.folder().join("backups")
    }

    /// A schedule that makes a backup every hour.
    fn schedule(&self, keep: usize) -> BackupSchedule {
        let settings = BackupSettings { every: HOUR, folder: self.backups(), keep };
        self.service.backup_schedule(settings).unwrap()
    }

    /// The names of the files in the folder.
    fn backup_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.backups()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The name of the backup that is begun at a time on the first day of the tests.
fn at(time: &str) -> String {
    format!("vestibule-auto-20261122T{time}Z.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_due_backup_is_made_and_the_oldest_is_deleted_r106() {
    let app = App::start(Backend::Sqlite).await;
    let mut schedule = app.schedule(2);
    assert_eq!(app.service.last_backup(), None);
    assert!(schedule.run_due().await, "the first is due at once");
    let first = app.now();
    assert_eq!(app.service.last_backup(), Some(first));
    app.clock.advance(Duration::from_secs(3599));
    assert!(!schedule.run_due().await);
    for _ in 0..2 {
        app.clock.advance(HOUR);
        assert!(schedule.run_due().await && !schedule.run_due().await);
    }
    assert_eq!(app.backup_files(), [at("135959"), at("145959")]);
    assert_eq!(app.service.last_backup(), Some(app.now()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_continues_the_schedule() {
    let app = App::start(Backend::Sqlite).await;
    assert!(app.schedule(2).run_due().await);
    let made = app.now();
    app.clock.advance(HOUR / 2);
    let app = app.restart().await;
    let mut schedule = app.schedule(2);
    assert_eq!(app.service.last_backup(), Some(made));
    assert!(!schedule.run_due().await, "it is not due yet");
    app.clock.advance(HOUR / 2);
    assert!(schedule.run_due().await);
    assert_eq!(app.backup_files(), [at("120000"), at("130000")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_backup_deletes_none_and_is_retried() {
    let app = App::start(Backend::Sqlite).await;
    let mut schedule = app.schedule(1);
    assert!(schedule.run_due().await);
    app.clock.advance(HOUR);
    // The name of the next backup is taken.
    fs::create_dir(app.backups().join(at("130000"))).unwrap();
    assert!(!schedule.run_due().await);
    assert_eq!(app.backup_files(), [at("120000"), at("130000")], "the old one is still there");
    assert_eq!(unfinished(&app.backups()).len(), 0);
    app.clock.advance(Duration::from_mins(14));
    assert!(!schedule.run_due().await, "it is not retried yet");
    app.clock.advance(Duration::from_mins(1));
    assert!(schedule.run_due().await);
    assert_eq!(app.backup_files(), [at("130000"), at("131500")]);
    app.clock.advance(Duration::from_mins(59));
    assert!(!schedule.run_due().await, "the interval begins with the last backup");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_stops_no_backup_r99() {
    let app = App::start(Backend::Sqlite).await;
    let mut schedule = app.schedule(9);
    app.clock.advance(HOUR * 5);
    assert!(schedule.run_due().await);
    app.clock.go_back(HOUR * 3);
    assert!(schedule.run_due().await, "the last one is in the future");
    assert!(!schedule.run_due().await);
    drop(schedule);
    let app = app.restart().await;
    let mut schedule = app.schedule(9);
    assert_eq!(app.service.last_backup(), Some(app.now()), "a backup in the future doesn't count");
    app.clock.advance(HOUR);
    assert!(schedule.run_due().await);
    assert_eq!(app.backup_files(), [at("140000"), at("150000"), at("170000")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_backup_is_complete_and_has_an_event_r106() {
    let app = App::start(Backend::Sqlite).await;
    app.register("ann").await;
    assert!(app.schedule(1).run_due().await);
    let copy = app.backups().join(at("120000"));
    let store = Store::open(&DatabaseUrl::Sqlite(copy), 1).await.unwrap();
    assert_eq!(store.count_accounts().await.unwrap(), 1);
    store.close().await;
    let query = EventQuery { name: "backup".to_owned(), limit: 9, ..EventQuery::default() };
    let Reply::Events { events } = app.administer(Command::Events { query }).await else { panic!("no events") };
    let found: Vec<_> = events.iter().map(|event| (&*event.name, &*event.actor.kind, &*event.via)).collect();
    assert_eq!(found, [("backup.make", "system", "server")]);
    app.clock.advance(Duration::from_secs(1));
    app.administer(Command::BackupMade).await;
    let query = EventQuery { name: "backup.make".to_owned(), limit: 1, ..EventQuery::default() };
    let Reply::Events { events } = app.administer(Command::Events { query }).await else { panic!("no events") };
    assert_eq!(events[0].details.user.as_deref(), Some("tester"));
}

#[tokio::test]
async fn postgres_has_no_scheduled_backups() {
    let app = App::start(Backend::Postgres).await;
    let settings = BackupSettings { every: HOUR, folder: app.backups(), keep: 1 };
    assert!(app.service.backup_schedule(settings).is_none());
}
