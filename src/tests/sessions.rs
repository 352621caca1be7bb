//! How sessions begin and end, on both databases.

use std::time::{Duration, Instant};

use serde_json::json;
use vestibule::{
    domain::{
        token::{Token, TokenKind},
        username::Username,
    },
    error::AppError,
    service::Caller,
    store::ActiveSessions,
};

use crate::{
    on_both,
    util::{
        App, Backend, NEW, PASSWORD,
        actors::Client,
        macros::{both, snapshot},
    },
};

both! {
    sessions_are_listed_with_browser_network_and_times_r44,
    the_previous_login_belongs_to_the_session,
    ending_sessions_requires_a_confirmed_password_r47,
    a_confirmation_from_the_clocks_future_is_invalid_r99,
    all_other_sessions_end_at_once_r41,
    the_session_of_another_user_is_unknown_r45,
    the_page_can_do_what_the_api_can_r15,
    an_operation_fails_if_its_session_ends_meanwhile_r41,
}

async fn sessions_are_listed_with_browser_network_and_times_r44(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    bob.log_in().await;
    let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:145.0) Gecko/20100101 Firefox/145.0";
    let log_in = ann.try_log_in(PASSWORD).header("user-agent", firefox).from("192.0.2.77");
    let laptop_token = log_in.await.token();
    app.clock.advance(Duration::from_hours(1));
    let phone = ann.log_in().await;

    let sessions = phone.sessions().await;
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["current"], true);
    let mut older = sessions[1].clone();
    let id = older.as_object_mut().unwrap().remove("id").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    snapshot!(older.to_string(), @r#"{"client":"Firefox on Windows","created_at":"2026-11-22T12:00:00Z","current":false,"expires_at":"2026-11-23T12:00:00Z","last_seen_at":"2026-11-22T12:00:00Z","network":"192.0.2.x"}"#);
    let text = phone.get("sessions/").await.text;
    assert!(!text.contains(&laptop_token), "{text}");
    assert!(!text.contains(&phone.token), "{text}");
    assert!(!text.contains("192.0.2.77"), "{text}");

    // A session that was not used for four hours has ended.
    app.clock.advance(Duration::from_hours(3));
    let sessions = phone.sessions().await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0]["current"], true);
}

async fn the_previous_login_belongs_to_the_session(app: App) {
    let ann = app.register("ann").await;
    let first = ann.log_in().await;
    assert_eq!(first.me().await.get("previous_login_at"), None);
    app.clock.advance(Duration::from_mins(90));
    ann.assert_cannot_log_in("wrong").await;
    let second = ann.log_in().await;
    assert_eq!(second.me().await["previous_login_at"], "2026-11-22T12:00:00Z");
    assert_eq!(first.me().await.get("previous_login_at"), None);
}

async fn ending_sessions_requires_a_confirmed_password_r47(app: App) {
    let ann = app.register("ann").await;
    let (mut phone, mut laptop) = (ann.log_in().await, ann.log_in().await);
    let id_of_laptop = laptop.session_id().await;
    app.clock.advance(Duration::from_mins(10));
    let refused = phone.end_other_sessions().await;
    snapshot!(refused.shape(), @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","code":"reauth_required","error":"Confirm your password first, then try again."}
    "#);
    phone.end_session(&id_of_laptop).await.assert_status(403);
    laptop.assert_logged_in().await;
    // The confirmation is valid only in its own session.
    laptop.confirm_password().await;
    phone.end_session(&id_of_laptop).await.assert_status(403);

    // R17: a copied token is useless.
    let copy = phone.clone();
    let confirmed = phone.confirm_password().await;
    assert_eq!(confirmed.json()["until"], "2026-11-22T12:20:00Z");
    copy.assert_logged_out().await;

    app.clock.advance(Duration::from_millis(599_999));
    phone.end_session(&id_of_laptop).await.assert_status(204);
    laptop.assert_logged_out().await;
    phone.end_session(&id_of_laptop).await.assert_status(404);
    app.clock.advance(Duration::from_millis(1));
    phone.end_session(&id_of_laptop).await.assert_status(403);
}

async fn a_confirmation_from_the_clocks_future_is_invalid_r99(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    app.clock.advance(Duration::from_hours(1));
    phone.confirm_password().await;
    app.clock.go_back(Duration::from_millis(300_001));
    phone.end_other_sessions().await.assert_status(403);
    app.clock.advance(Duration::from_millis(1));
    phone.end_other_sessions().await.assert_status(200);
}

async fn all_other_sessions_end_at_once_r41(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let (phone, bobs_phone) = (ann.log_in().await, bob.log_in().await);
    let (laptop, tablet) = (ann.log_in().await, ann.log_in().await);
    laptop.assert_logged_in().await;
    tablet.assert_logged_in().await;
    let ended = phone.end_other_sessions().await;
    assert_eq!(ended.json(), json!({ "status": "ok", "sessions_ended": 2 }));
    laptop.assert_logged_out().await;
    tablet.assert_logged_out().await;
    phone.assert_logged_in().await;
    bobs_phone.assert_logged_in().await;
}

async fn the_session_of_another_user_is_unknown_r45(app: App) {
    let ann = app.register("ann").await.log_in().await;
    let bob = app.register("bob").await.log_in().await;
    let id_of_bob = bob.session_id().await;
    for unknown in [&id_of_bob, "00000000-0000-7000-8000-000000000000", "none", "%00", "%ff"] {
        ann.end_session(unknown).await.assert_status(404).assert_code("not_found");
    }
    ann.call("end_session", &json!({ "id": "\u{0}" })).await.assert_status(404).assert_code("not_found");
    bob.assert_logged_in().await;
}

async fn the_page_can_do_what_the_api_can_r15(app: App) {
    let ann = app.register("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    let sessions = phone.call("sessions", &json!({})).await.json();
    assert_eq!(sessions.as_array().unwrap().len(), 2);
    app.clock.advance(Duration::from_mins(11));
    let refused = phone.call("end_other_sessions", &json!({})).await;
    refused.assert_status(403).assert_code("reauth_required");
    let wrong = phone.call("confirm_password", &json!({ "password": "wrong" })).await;
    wrong.assert_status(403).assert_code("wrong_password");

    let confirmed = phone.call("confirm_password", &json!({ "password": PASSWORD })).await;
    let phone = app.device(&confirmed.token());
    let other = sessions.as_array().unwrap().iter().find(|session| session["current"] == false).unwrap();
    phone.call("end_session", &json!({ "id": other["id"] })).await.assert_status(200);
    laptop.assert_logged_out().await;

    let body = json!({ "current_password": PASSWORD, "new_password": NEW });
    let changed = phone.call("change_password", &body).await;
    app.device(&changed.token()).assert_logged_in().await;
    ann.assert_can_log_in(NEW).await;
}

async fn an_operation_fails_if_its_session_ends_meanwhile_r41(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    let proven = app.service.require_reauth(&phone.session_token()).await.unwrap();
    phone.log_out().await.assert_status(204);
    let name = Username::parse("annie").unwrap();
    let caller = Caller { address: "192.0.2.1".parse().unwrap(), agent: String::new() };
    let outcomes = [
        app.service.change_username(&caller, &proven, &name).await.map(drop),
        app.service.end_other_sessions(&proven).await.map(drop),
        app.service.end_session(&proven, &proven.session().id).await,
        app.service.delete_account(&proven, "ann").await,
    ];
    for outcome in outcomes {
        assert_eq!(outcome.map_err(AppError::from), Err(AppError::SessionEnded));
    }
    ann.assert_can_log_in(PASSWORD).await;
}

on_both! {
    async fn a_restart_keeps_accounts_and_sessions_and_ends_what_was_ended_r41(app: App) {
        app.register("ann").await;
        let (kept, ended) = (app.token("ann").await, app.token("ann").await);
        assert_eq!(app.request("POST", "/api/accounts/logout/").bearer(&ended).send().await.status, 204);
        let app = app.restart().await;
        assert_eq!(app.me(&kept).await, 200);
        assert_eq!(app.me(&ended).await, 401);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
    }
}

on_both! {
    async fn a_token_outlives_neither_disuse_nor_its_day_r42(app: App) {
        app.register("ann").await;
        let (idle, busy) = (app.token("ann").await, app.token("ann").await);
        let second = Duration::from_secs(1);
        app.clock.advance(app.config.session.idle.checked_sub(second).unwrap());
        assert_eq!(app.me(&busy).await, 200, "a second before");
        app.clock.advance(second);
        assert_eq!(app.me(&idle).await, 401, "to the second");
        for _ in 0..10 {
            app.clock.advance(app.config.session.idle / 2);
            if app.me(&busy).await == 401 {
                break;
            }
        }
        assert_eq!(app.me(&busy).await, 401, "use never extends a session past its maximum lifetime");
    }
}

on_both! {
    async fn the_absolute_end_comes_to_the_second_r42(app: App) {
        let mut config = app.config.clone();
        config.session.idle = config.session.max_lifetime;
        let app = app.restart_with(config).await;
        app.register("ann").await;
        let token = app.token("ann").await;
        let step = Duration::from_hours(1);
        for _ in 0..23 {
            app.clock.advance(step);
            assert_eq!(app.me(&token).await, 200);
        }
        app.clock.advance(step.checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(app.me(&token).await, 200);
        app.clock.advance(Duration::from_millis(1));
        assert_eq!(app.me(&token).await, 401);
    }
}

on_both! {
    async fn a_clock_that_jumps_brings_no_token_back_and_breaks_nothing_r99(app: App) {
        app.register("ann").await;
        let old = app.token("ann").await;
        let year = Duration::from_hours(8760);
        app.clock.advance(year);
        assert_eq!(app.me(&old).await, 401);
        let young = app.token("ann").await;
        app.clock.go_back(year);
        assert_eq!(app.me(&old).await, 401, "an ended session stays ended");
        assert_eq!(app.me(&young).await, 401, "a session from the future would outlive its lifetime");
        let now = app.token("ann").await;
        assert_eq!(app.me(&now).await, 200);
        for _ in 0..20 {
            app.clock.advance(Duration::from_hours(1));
            app.token("ann").await;
        }
        app.clock.go_back(Duration::from_hours(21));
        let newest = app.token("ann").await;
        assert_eq!(app.me(&newest).await, 200, "a new session is never removed in favour of those from the future");
        let now = app.token("ann").await;
        assert_eq!(app.me(&newest).await, 200, "and those from the future never replace it");
        app.clock.go_back(60 * year);
        assert_eq!(app.me(&now).await, 401, "before 1970");
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200, "before 1970");
    }
}

on_both! {
    async fn a_clock_that_is_five_minutes_behind_ends_no_session_r99(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        app.clock.go_back(Duration::from_mins(5));
        assert_eq!(app.me(&token).await, 200);
        app.clock.go_back(Duration::from_millis(1));
        assert_eq!(app.me(&token).await, 401);
    }
}

on_both! {
    async fn a_disabled_user_is_out_at_once_and_for_good_r43(app: App) {
        use vestibule::service::admin::{Command, Reply};
        app.register("ann").await;
        let token = app.token("ann").await;
        assert_eq!(app.me(&token).await, 200);
        let who = || "ann@example.org".to_owned();
        let done = app.service.administer(Command::Disable { who: who() }).await;
        assert_eq!(done, Reply::Done { username: "ann".to_owned(), sessions: 1 });
        assert_eq!(app.me(&token).await, 401);
        let refused = app.log_in("ann", PASSWORD).await;
        app.service.administer(Command::Enable { who: who() }).await;
        let wrong = app.log_in("ann", "wrong").await;
        assert_eq!(refused.shape(), wrong.shape(), "a disabled account gets the same response as a wrong password");
        assert_eq!(app.me(&token).await, 401, "enabling it again makes no token valid");
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
    }
}

on_both! {
    async fn a_new_password_ends_every_session(app: App) {
        use vestibule::service::admin::{Command, Reply};
        app.register("ann").await;
        let tokens = [app.token("ann").await, app.token("ann").await];
        for token in &tokens {
            assert_eq!(app.me(token).await, 200);
        }
        let (who, password) = ("ann".to_owned(), "walrus orchard lantern".to_owned());
        let done = app.service.administer(Command::SetPassword { who, password }).await;
        assert_eq!(done, Reply::Done { username: "ann".to_owned(), sessions: 2 });
        for token in &tokens {
            assert_eq!(app.me(token).await, 401);
        }
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 400);
        assert_eq!(app.log_in("ann", "walrus orchard lantern").await.status, 200);
    }
}

on_both! {
    async fn the_oldest_of_too_many_sessions_goes_r52(app: App) {
        app.register("ann").await;
        let mut tokens = Vec::new();
        for _ in 0..25 {
            tokens.push(app.token("ann").await);
            app.clock.advance(Duration::from_millis(5));
            assert_eq!(app.me(tokens.last().unwrap()).await, 200);
        }
        let mut active = Vec::new();
        for token in &tokens {
            active.push(app.me(token).await == 200);
        }
        assert_eq!(active, [vec![false; 5], vec![true; 20]].concat());
    }
}

on_both! {
    async fn logins_side_by_side_never_leave_more_sessions_than_there_may_be_r52(app: App) {
        let mut config = app.config.clone();
        config.session.per_user = 2;
        let app = app.restart_with(config).await;
        app.register("ann").await;
        let mut tokens = Vec::new();
        for _ in 0..3 {
            for login in futures_util::future::join_all((0..5).map(|_| app.log_in("ann", PASSWORD))).await {
                assert_eq!(login.status, 200, "{}", login.text);
                tokens.push(login.json()["token"].as_str().unwrap().to_owned());
            }
            let checks = futures_util::future::join_all(tokens.iter().map(|token| app.me(token))).await;
            assert_eq!(checks.iter().filter(|status| **status == 200).count(), 2, "of {}", tokens.len());
        }
    }
}

on_both! {
    async fn what_is_over_is_swept_out_r52(app: App) {
        let mut app = app;
        app.register("ann").await;
        for _ in 0..3 {
            app.token("ann").await;
        }
        app.log_in("ghost", "x").await;
        let mut maintenance = app.maintenance.take().unwrap();
        assert_eq!(maintenance.sweep_all().await.unwrap(), 0, "nothing has expired yet");
        app.clock.advance(Duration::from_hours(25));
        // 3 sessions; 6 counters of addresses: two of the registration, three logins, one failure; one failure of an
        // unknown name.
        assert_eq!(maintenance.sweep_all().await.unwrap(), 10);
        assert_eq!(maintenance.sweep_all().await.unwrap(), 0);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200, "accounts remain");
    }
}

on_both! {
    async fn a_session_that_was_swept_out_stays_out_when_the_clock_is_put_back_r99(app: App) {
        let mut app = app;
        app.register("ann").await;
        let token = app.token("ann").await;
        assert_eq!(app.me(&token).await, 200);
        app.clock.advance(Duration::from_hours(5));
        assert!(app.maintenance.as_mut().unwrap().sweep_all().await.unwrap() > 0);
        app.clock.go_back(Duration::from_hours(2));
        assert_eq!(app.me(&token).await, 401);
    }
}

on_both! {
    async fn what_is_over_is_swept_out_as_soon_as_the_server_runs_r52(app: App) {
        let mut app = app;
        app.register("ann").await;
        let user = app.service.authenticate(&Token::parse(TokenKind::Session, &app.token("ann").await).unwrap()).await.unwrap().user.id.clone();
        let kept = async || app.store.list_sessions(&user, ActiveSessions::ALL).await.unwrap();
        assert_eq!(kept().await.len(), 1);
        app.clock.advance(Duration::from_hours(5));
        let maintenance = app.maintenance.take().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(maintenance.run(async { drop(stopped.await) }));
        let deadline = Instant::now() + Duration::from_mins(1);
        while !kept().await.is_empty() {
            assert!(Instant::now() < deadline, "nothing is swept");
        }
        drop(stop);
        running.await.unwrap();
    }
}

on_both! {
    async fn the_last_use_reaches_the_database(app: App) {
        let mut app = app;
        app.register("ann").await;
        let token = app.token("ann").await;
        app.clock.advance(Duration::from_hours(3));
        assert_eq!(app.me(&token).await, 200);
        // Stopping the background work writes its pending data.
        app.maintenance.take().unwrap().run(std::future::ready(())).await;
        let app = app.restart().await;
        app.clock.advance(Duration::from_hours(2));
        assert_eq!(app.me(&token).await, 200, "its use three hours after the login survived the restart");
    }
}

on_both! {
    async fn a_logout_is_known_to_every_server_at_once_r41(app: App) {
        // SQLite allows one server only, which the lock enforces. There, both apps are the same.
        let sibling = if app.backend == Backend::Postgres { Some(app.sibling().await) } else { None };
        let other = sibling.as_ref().unwrap_or(&app);
        app.register("ann").await;
        for _ in 0..20 {
            let token = app.token("ann").await;
            assert_eq!(other.me(&token).await, 200);
            assert_eq!(app.request("POST", "/api/accounts/logout/").bearer(&token).send().await.status, 204);
            assert_eq!(other.me(&token).await, 401);
        }
    }
}

on_both! {
    async fn logouts_race_checks_and_win_r41(app: App) {
        app.register("ann").await;
        for _ in 0..10 {
            let token = app.token("ann").await;
            let checks = futures_util::future::join_all((0..50).map(|_| app.me(&token)));
            let out = app.request("POST", "/api/accounts/logout/").bearer(&token).send();
            let (_, out) = tokio::join!(checks, out);
            assert_eq!(out.status, 204);
            assert_eq!(app.me(&token).await, 401);
        }
    }
}
