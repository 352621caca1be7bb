//! What `vestibule doctor` finds in a database, on both databases.

use std::{sync::atomic::Ordering, time::Duration};

use vestibule::{
    domain::role::Role,
    service::admin::{Command, Reply},
    store::{DatabaseFacts, inspect},
};

use crate::util::{App, Backend, macros::both};

both! {
    an_inspection_counts_enabled_admins,
    an_inspection_finds_mail_that_is_not_sent,
}

impl App {
    /// The facts that are found at the time of the test's clock.
    async fn facts(&self) -> DatabaseFacts {
        let inspection = inspect(&self.config.database.url, self.now()).await.unwrap();
        assert_eq!((inspection.pending, inspection.damage), (0, None));
        assert_eq!(inspection.clock.is_some(), self.backend == Backend::Postgres);
        inspection.facts.unwrap()
    }
}

async fn an_inspection_counts_enabled_admins(app: App) {
    assert_eq!(app.facts().await, DatabaseFacts::default());
    app.register("ann").await;
    let who = || "ann".to_owned();
    app.administer(Command::Confirm { who: who() }).await;
    let role = app.administer(Command::SetRole { who: who(), role: Some(Role::Admin), force: false }).await;
    assert!(matches!(role, Reply::Done { .. }), "{role:?}");
    assert_eq!(app.facts().await.admins, 1);
    app.administer(Command::Disable { who: who(), force: true }).await;
    let facts = app.facts().await;
    assert_eq!((facts.admins, facts.foreign_hashes), (0, 0));
}

async fn an_inspection_finds_mail_that_is_not_sent(app: App) {
    app.register("ann").await;
    app.clock.advance(Duration::from_mins(14));
    let found = async || {
        let DatabaseFacts { overdue_mail, failing_mails, .. } = app.facts().await;
        (overdue_mail, failing_mails)
    };
    assert_eq!(found().await, (false, 0));
    app.clock.advance(Duration::from_mins(2));
    assert_eq!(found().await, (true, 0), "no server sends it");
    app.mail_capture.broken.store(true, Ordering::SeqCst);
    for attempt in 1..=6 {
        app.mail_worker.deliver_next().await.unwrap();
        assert_eq!(found().await, (false, i64::from(attempt == 6)));
        app.clock.advance(Duration::from_mins(59));
    }
    app.mail_capture.broken.store(false, Ordering::SeqCst);
    app.deliver().await;
    assert_eq!(found().await, (false, 0));
}
