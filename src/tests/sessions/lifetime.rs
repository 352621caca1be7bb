//! How long sessions last, how many there may be, and when they are deleted.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use vestibule::store::ActiveSessions;

use crate::util::{App, PASSWORD, actors::Client, macros::both};

both! {
    a_session_ends_by_disuse_or_at_its_maximum_lifetime_r42,
    the_maximum_lifetime_is_exact_r42,
    a_clock_that_jumps_makes_no_ended_session_valid_r99,
    sessions_from_the_clocks_future_replace_no_newer_one_r99,
    a_session_is_invalid_before_1970_and_a_login_works_r99,
    a_clock_that_is_five_minutes_behind_ends_no_session_r99,
    the_oldest_of_too_many_sessions_is_removed_r52,
    parallel_logins_never_exceed_the_limit_of_sessions_r52,
    a_sweep_deletes_expired_rows_r52,
    a_swept_session_stays_ended_when_the_clock_goes_back_r99,
    expired_sessions_are_swept_when_the_server_starts_r52,
    the_last_use_survives_a_restart,
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const YEAR: Duration = Duration::from_hours(8760);

async fn a_session_ends_by_disuse_or_at_its_maximum_lifetime_r42(app: App) {
    let ann = app.register("ann").await;
    let (idle, busy) = (ann.log_in().await, ann.log_in().await);
    app.clock.advance(app.config.session.idle.checked_sub(SECOND).unwrap());
    busy.assert_logged_in().await;
    app.clock.advance(SECOND);
    idle.assert_logged_out().await;
    // No use extends a session past its maximum lifetime.
    for _ in 0..10 {
        app.clock.advance(app.config.session.idle / 2);
        if busy.get("me/").await.status == 401 {
            break;
        }
    }
    busy.assert_logged_out().await;
}

async fn the_maximum_lifetime_is_exact_r42(app: App) {
    let app = app.restart_changed(|config| config.session.idle = config.session.max_lifetime).await;
    let phone = app.register("ann").await.log_in().await;
    for _ in 0..23 {
        app.clock.advance(HOUR);
        phone.assert_logged_in().await;
    }
    app.clock.advance(HOUR.checked_sub(MILLISECOND).unwrap());
    phone.assert_logged_in().await;
    app.clock.advance(MILLISECOND);
    phone.assert_logged_out().await;
}

async fn a_clock_that_jumps_makes_no_ended_session_valid_r99(app: App) {
    let ann = app.register("ann").await;
    let old = ann.log_in().await;
    app.clock.advance(YEAR);
    old.assert_logged_out().await;
    let from_the_future = ann.log_in().await;
    app.clock.go_back(YEAR);
    old.assert_logged_out().await;
    // This session began in the clock's future. If it were valid, it would exceed its maximum lifetime.
    from_the_future.assert_logged_out().await;
    ann.log_in().await.assert_logged_in().await;
}

async fn sessions_from_the_clocks_future_replace_no_newer_one_r99(app: App) {
    let ann = app.register("ann").await;
    for _ in 0..20 {
        app.clock.advance(HOUR);
        ann.log_in().await;
    }
    app.clock.go_back(21 * HOUR);
    let phone = ann.log_in().await;
    phone.assert_logged_in().await;
    ann.log_in().await;
    phone.assert_logged_in().await;
}

async fn a_session_is_invalid_before_1970_and_a_login_works_r99(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    phone.assert_logged_in().await;
    app.clock.go_back(60 * YEAR);
    phone.assert_logged_out().await;
    ann.assert_can_log_in(PASSWORD).await;
}

async fn a_clock_that_is_five_minutes_behind_ends_no_session_r99(app: App) {
    let phone = app.register("ann").await.log_in().await;
    app.clock.go_back(Duration::from_mins(5));
    phone.assert_logged_in().await;
    app.clock.go_back(MILLISECOND);
    phone.assert_logged_out().await;
}

async fn the_oldest_of_too_many_sessions_is_removed_r52(app: App) {
    let ann = app.register("ann").await;
    let mut devices = Vec::new();
    for _ in 0..25 {
        let device = ann.log_in().await;
        app.clock.advance(Duration::from_millis(5));
        device.assert_logged_in().await;
        devices.push(device);
    }
    let (oldest, newest) = devices.split_at(5);
    for device in oldest {
        device.assert_logged_out().await;
    }
    for device in newest {
        device.assert_logged_in().await;
    }
}

async fn parallel_logins_never_exceed_the_limit_of_sessions_r52(app: App) {
    let app = app.restart_changed(|config| config.session.per_user = 2).await;
    let ann = app.register("ann").await;
    let mut devices = Vec::new();
    for _ in 0..3 {
        devices.extend(join_all((0..5).map(|_| ann.log_in())).await);
        let checks = join_all(devices.iter().map(|device| device.get("me/").send())).await;
        let active = checks.iter().filter(|response| response.status == 200).count();
        assert_eq!(active, 2, "of {}", devices.len());
    }
}

async fn a_sweep_deletes_expired_rows_r52(mut app: App) {
    let ann = app.register("ann").await;
    for _ in 0..3 {
        ann.log_in().await;
    }
    app.user("unknown").assert_cannot_log_in("x").await;
    let mut maintenance = app.maintenance.take().unwrap();
    assert_eq!(maintenance.sweep_all().await.unwrap(), 0, "nothing has expired yet");
    app.clock.advance(25 * HOUR);
    // 3 sessions, 6 counters of addresses and 1 failure of an unknown name have expired. Of the counters, 2 belong to
    // the registration, 3 to logins and 1 to the failure.
    assert_eq!(maintenance.sweep_all().await.unwrap(), 10);
    assert_eq!(maintenance.sweep_all().await.unwrap(), 0);
    ann.assert_can_log_in(PASSWORD).await;
}

async fn a_swept_session_stays_ended_when_the_clock_goes_back_r99(mut app: App) {
    let phone = app.register("ann").await.log_in().await;
    phone.assert_logged_in().await;
    app.clock.advance(5 * HOUR);
    assert!(app.maintenance.as_mut().unwrap().sweep_all().await.unwrap() > 0);
    app.clock.go_back(2 * HOUR);
    phone.assert_logged_out().await;
}

async fn expired_sessions_are_swept_when_the_server_starts_r52(mut app: App) {
    let phone = app.register("ann").await.log_in().await;
    let user = phone.me().await["id"].as_str().unwrap().to_owned();
    let stored = async || app.store.list_sessions(&user, ActiveSessions::ALL).await.unwrap().len();
    assert_eq!(stored().await, 1);
    app.clock.advance(5 * HOUR);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let maintenance = app.maintenance.take().unwrap();
    let running = tokio::spawn(maintenance.run(async { drop(stopped.await) }));
    let deadline = Instant::now() + Duration::from_mins(1);
    while stored().await > 0 {
        assert!(Instant::now() < deadline, "nothing is swept");
    }
    drop(stop);
    running.await.unwrap();
}

async fn the_last_use_survives_a_restart(mut app: App) {
    let phone = app.register("ann").await.log_in().await;
    app.clock.advance(3 * HOUR);
    phone.assert_logged_in().await;
    // Stopping the background work writes its pending data.
    app.maintenance.take().unwrap().run(std::future::ready(())).await;
    let app = app.restart().await;
    app.clock.advance(2 * HOUR);
    phone.assert_logged_in().await;
}
