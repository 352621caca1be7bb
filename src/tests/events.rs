//! The audit trail, on both databases.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use vestibule::{
    domain::{
        event::{Actor, EventLine, EventName, EventQuery, Initiator, Stamp},
        role::Role,
    },
    service::{
        admin::{Command, GroupAction, Reply},
        restore::RestoreOptions,
    },
    store::{DatabaseUrl, EventFilter, Failure, LoginBackoff},
};

use crate::util::{
    App, Backend, NEW, PASSWORD,
    actors::{Client, User},
    macros::both,
    mail_capture::token_of,
    operator,
};

both! {
    each_act_of_an_owner_has_one_event_r113_r147,
    each_act_by_mail_has_one_event_r113_r147,
    each_act_of_an_operator_has_one_event_r113_r147,
    an_act_without_effect_has_no_event,
    failed_logins_are_recorded_when_their_number_doubles_r113,
    a_flood_of_failures_adds_twelve_events_a_day_r147,
    an_event_holds_no_name_address_or_secret_r112_r147,
    events_are_append_only_r115_r147,
    events_are_found_by_each_filter,
    old_events_are_deleted_and_no_others_r115,
    an_owner_sees_no_operator_and_no_other_account_r115,
    an_owner_reads_the_history_in_pages_r115,
    a_deleted_account_keeps_its_events_without_its_name_r110,
}

impl App {
    /// Events of a query.
    async fn find_events(&self, query: EventQuery) -> Vec<EventLine> {
        match self.administer(Command::Events { query: EventQuery { limit: 1000, ..query } }).await {
            Reply::Events { events } => events,
            other => panic!("{other:?}"),
        }
    }
}

/// Reads the events of one act after the other.
struct Trail<'a> {
    app: &'a App,
    last: String,
}

impl<'a> Trail<'a> {
    /// Starts after the present events.
    async fn new(app: &'a App) -> Self {
        let mut trail = Self { app, last: String::new() };
        trail.read().await;
        trail
    }

    /// The new events, the oldest first.
    async fn read(&mut self) -> Vec<EventLine> {
        let query = EventQuery { after: self.last.clone(), oldest_first: true, ..EventQuery::default() };
        let events = self.app.find_events(query).await;
        if let Some(last) = events.last() {
            self.last.clone_from(&last.id);
        }
        // Identifiers sort by the millisecond.
        self.app.clock.advance(Duration::from_millis(1));
        events
    }

    /// Checks the new events: the name, the outcome, the actor and the entry point of each.
    #[track_caller]
    fn expect(&mut self, act: &str, expected: &[&str]) -> impl Future<Output = ()> {
        let line = std::panic::Location::caller();
        async move {
            let found: Vec<_> = self.read().await.iter().map(summary).collect();
            assert_eq!(found, expected, "{line}: {act}");
        }
    }
}

fn summary(event: &EventLine) -> String {
    format!("{} {} {} {}", event.name, event.outcome, event.actor.kind, event.via)
}

async fn each_act_of_an_owner_has_one_event_r113_r147(app: App) {
    let mut trail = Trail::new(&app).await;
    let ann = app.register("ann").await;
    trail.expect("registration", &["account.register ok anonymous api"]).await;
    let mut phone = ann.log_in().await;
    trail.expect("login", &["session.start ok account api"]).await;
    let laptop = ann.log_in().await;
    trail.expect("second login", &["session.start ok account api"]).await;
    ann.assert_cannot_log_in("wrong").await;
    trail.expect("failed login", &["login.fail failed anonymous api"]).await;
    phone.confirm_password().await;
    trail.expect("confirmation", &["session.reauth ok account api"]).await;
    phone.try_confirm_password("wrong").await.assert_status(403);
    trail.expect("failed confirmation", &["session.reauth failed account api"]).await;
    let script = phone.create_access_token("backup", "full").await;
    trail.expect("token", &["token.create ok account api"]).await;
    let other = phone.create_access_token("other", "full").await;
    trail.expect("second token", &["token.create ok account api"]).await;
    script.revoke(&other).await.assert_status(204);
    trail.expect("revocation by a token", &["token.revoke ok account token"]).await;
    script.log_out().await.assert_status(204);
    trail.expect("logout of a token", &["token.revoke ok account token"]).await;
    phone.change_username("annie").await.assert_status(200);
    trail.expect("rename", &["account.rename ok account api"]).await;
    phone.change_email("ann@example.net").await.assert_status(200);
    trail.expect("change of email", &["email.change_request ok account api"]).await;
    phone.call("cancel_email_change", &json!({})).await.assert_status(200);
    trail.expect("cancelled change", &["email.change_cancel ok account page"]).await;
    phone.end_session(&laptop.session_id().await).await.assert_status(204);
    trail.expect("ended session", &["session.end ok account api"]).await;
    let ann = app.user("annie");
    let tablet = ann.log_in().await;
    trail.read().await;
    phone.end_other_sessions().await.assert_status(200);
    trail.expect("other sessions", &["session.end_others ok account api"]).await;
    tablet.assert_logged_out().await;
    phone.change_password(NEW).await.assert_status(200);
    trail.expect("password", &["password.change ok account api"]).await;
    phone.get("export/").await.assert_status(200);
    trail.expect("export", &["account.export ok account api"]).await;
    let tablet = ann.log_in_with(NEW).await;
    trail.read().await;
    tablet.call("logout", &json!({})).await.assert_status(200);
    trail.expect("logout", &["session.end ok account page"]).await;
    phone.delete_account("annie").await.assert_status(204);
    trail.expect("deletion", &["account.delete ok account api"]).await;
}

async fn each_act_by_mail_has_one_event_r113_r147(app: App) {
    let ann = app.register("ann").await;
    let link = app.deliver_link().await;
    let mut trail = Trail::new(&app).await;
    app.verify_email(&link, PASSWORD).await.assert_status(200);
    trail.expect("confirmed email", &["email.verify ok account api"]).await;
    ann.forgot_password().await.assert_status(200);
    app.user("nemo").forgot_password().await.assert_status(200);
    trail.expect("nothing until the mail is sent", &[]).await;
    let link = app.deliver_link().await;
    trail.expect("forgotten password", &["password.reset_request ok system server"]).await;
    app.reset_password(&link, NEW).await.assert_status(200);
    trail.expect("reset", &["password.reset ok anonymous api"]).await;
    let phone = ann.log_in_with(NEW).await;
    app.deliver().await;
    trail.read().await;
    phone.change_email("ann@example.net").await.assert_status(200);
    let link = app.deliver_link().await;
    trail.read().await;
    app.confirm_email(&link, NEW).await.assert_status(200);
    trail.expect("changed email", &["email.change ok account api"]).await;
    let link = token_of(&app.deliver_one().await);
    let squatter = app.register("squatter").await;
    squatter.assert_can_log_in(PASSWORD).await;
    trail.read().await;
    app.undo_email(&link, PASSWORD).await.assert_status(200);
    trail.expect("undone change", &["email.undo ok anonymous api"]).await;
}

fn who(user: &User) -> String {
    user.name.clone()
}

async fn each_act_of_an_operator_has_one_event_r113_r147(app: App) {
    let ann = app.register("ann").await;
    ann.log_in().await;
    let mut trail = Trail::new(&app).await;
    let group = |action| Command::Group { action };
    let (name, new) = ("editors".to_owned(), "writers".to_owned());
    let (email, bob) = ("bob@example.org".to_owned(), "bob".to_owned());
    let add = Command::Add { email, username: bob, password: PASSWORD.to_owned(), role: None };
    let acts = [
        (add, "account.create"),
        (Command::Confirm { who: who(&ann) }, "email.verify"),
        (Command::SetRole { who: who(&ann), role: Some(Role::Admin), force: false }, "role.change"),
        (Command::Disable { who: who(&ann), force: true }, "account.disable"),
        (Command::Enable { who: who(&ann) }, "account.enable"),
        (Command::SetPassword { who: who(&ann), password: NEW.to_owned() }, "password.set"),
        (Command::RevokeSessions { who: who(&ann) }, "session.end_all"),
        (Command::Rename { who: who(&ann), username: "anna".to_owned() }, "account.rename"),
        (group(GroupAction::Add { name: name.clone() }), "group.create"),
        (group(GroupAction::Rename { name, new: new.clone() }), "group.rename"),
        (group(GroupAction::Join { name: new.clone(), who: "anna".to_owned() }), "group.join"),
        (group(GroupAction::Leave { name: new.clone(), who: "anna".to_owned() }), "group.leave"),
        (group(GroupAction::Delete { name: new, force: false }), "group.delete"),
        (Command::Delete { who: "anna".to_owned(), force: true }, "account.delete"),
    ];
    for (command, event) in acts {
        let reply = app.administer(command).await;
        assert!(!matches!(reply, Reply::Refused { .. } | Reply::NoSuchUser | Reply::NoSuchGroup), "{event}: {reply:?}");
        let found = trail.read().await;
        assert_eq!(
            found.iter().map(summary).collect::<Vec<_>>(),
            [format!("{event} ok command_line command_line")],
            "{event}"
        );
        assert_eq!(found[0].details.user.as_deref(), Some("tester"), "{event}");
    }
    app.service.revoke_after_restore(operator(), RestoreOptions::default()).await.unwrap();
    trail.expect("restore", &["restore.apply ok command_line command_line"]).await;
    app.service.record_start().await.unwrap();
    trail.expect("start", &["server.start ok system server"]).await;
    app.service.record_stop().await.unwrap();
    trail.expect("stop", &["server.stop ok system server"]).await;
}

async fn an_act_without_effect_has_no_event(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    app.administer(Command::Group { action: GroupAction::Add { name: "editors".to_owned() } }).await;
    app.administer(Command::Confirm { who: who(&ann) }).await;
    let mut trail = Trail::new(&app).await;
    let leave = GroupAction::Leave { name: "editors".to_owned(), who: who(&ann) };
    for command in [
        Command::Enable { who: who(&ann) },
        Command::Confirm { who: who(&ann) },
        Command::SetRole { who: who(&ann), role: None, force: false },
        Command::Group { action: leave },
    ] {
        app.administer(command).await;
    }
    phone.end_other_sessions().await.assert_status(200);
    phone.end_session("01988888-0000-7000-8000-000000000000").await.assert_status(404);
    phone.change_username("a").await.assert_status(400);
    app.user("nobody-here").assert_cannot_log_in(PASSWORD).await;
    trail.expect("nothing was changed", &[]).await;
}

async fn failed_logins_are_recorded_when_their_number_doubles_r113(app: App) {
    let ann = app.register("ann").await;
    let app = app.restart_changed(|config| config.rate_limit.account_free_failures = 100).await;
    let mut trail = Trail::new(&app).await;
    for _ in 0..12 {
        ann.assert_cannot_log_in("wrong").await;
        app.clock.advance(Duration::from_millis(1));
    }
    let attempts: Vec<_> = trail.read().await.iter().map(|event| event.details.attempts).collect();
    assert_eq!(attempts, [Some(1), Some(5), Some(10)]);
}

async fn a_flood_of_failures_adds_twelve_events_a_day_r147(app: App) {
    let ann = app.register("ann").await;
    let user = ann.log_in().await.me().await["id"].as_str().unwrap().to_owned();
    let mut trail = Trail::new(&app).await;
    let minute = Duration::from_mins(1);
    let (longest_delay, reset_after) = (minute, minute);
    let rule = LoginBackoff { free: 10, first_delay: minute, longest_delay, reset_after, settled_within: minute };
    let anonymous = Initiator { actor: Actor::Anonymous, ..Initiator::server() };
    let fail = async || {
        // Each key is the count of another network.
        for network in 0..30 {
            let stamp = Stamp { by: anonymous.clone(), ..app.stamp() };
            let failure = Failure { name: EventName::LoginFail, user: user.clone(), stamp };
            app.store.settle_failed(&format!("{network}"), rule, app.now(), Some(&failure)).await.unwrap();
        }
    };
    fail().await;
    assert_eq!(trail.read().await.len(), 12);
    app.clock.advance(Duration::from_hours(23));
    for _ in 0..9 {
        fail().await;
    }
    assert_eq!(trail.read().await.len(), 0);
    app.clock.advance(Duration::from_hours(2));
    for _ in 0..10 {
        fail().await;
    }
    assert_eq!(trail.read().await.len(), 12);
}

async fn an_event_holds_no_name_address_or_secret_r112_r147(app: App) {
    let ann = app.register("annabel").await;
    let link = app.deliver_link().await;
    app.verify_email(&link, PASSWORD).await.assert_status(200);
    let mut phone = ann.log_in().await;
    let old_token = phone.token.clone();
    let script = phone.create_access_token("secret script", "read").await;
    phone.try_confirm_password("a wrong phrase").await.assert_status(403);
    ann.post("api_auth/", &json!({ "email": "annabel", "password": "a wrong phrase" })).await.assert_status(400);
    phone.change_password(NEW).await;
    phone.change_username("annabelle").await.assert_status(200);
    phone.change_email("annabel@example.net").await.assert_status(200);
    app.user("annabelle").forgot_password().await.assert_status(200);
    let mails = app.deliver().await;
    app.administer(Command::Group { action: GroupAction::Add { name: "night shift".to_owned() } }).await;
    let join = GroupAction::Join { name: "night shift".to_owned(), who: "annabelle".to_owned() };
    app.administer(Command::Group { action: join }).await;
    let request = json!({ "email": "annabelle", "password": NEW });
    let login = app.post("api_auth/", &request).from("198.51.100.77").header("user-agent", "Annabel's phone/1").await;
    phone.get("export/").await.assert_status(200);

    let mut lines = Vec::new();
    for record in all_records(&app).await {
        // Without the names, which are not stored in the event.
        let record = vestibule::store::EventRecord { subject_name: None, actor_name: None, ..record };
        assert!(record.network.is_empty() || record.network.rsplit('.').next() == Some("x"), "{record:?}");
        lines.push(format!("{record:?}"));
    }
    assert!(lines.len() > 10, "{lines:?}");
    let texts = lines.join("\n");
    let mut canaries: Vec<String> =
        ["annabel@", "annabel", "example.org", "example.net", PASSWORD, NEW, "a wrong phrase", "night shift"]
            .map(str::to_owned)
            .to_vec();
    canaries.extend(["secret script".to_owned(), "198.51.100.77".to_owned(), link]);
    canaries.extend([old_token, phone.token.clone(), script.token.clone(), login.token()]);
    let mailed = mails.iter().map(vestibule::service::MailMessage::to_text).filter(|text| text.contains('#'));
    canaries.extend(mailed.filter_map(|text| Some(text.split_once('#')?.1.split_whitespace().next()?.to_owned())));
    for canary in canaries {
        assert!(!texts.contains(&canary), "{canary} is in an event:\n{texts}");
    }
}

async fn all_records(app: &App) -> Vec<vestibule::store::EventRecord> {
    let filter = EventFilter { oldest_first: true, limit: 1000, ..EventFilter::default() };
    app.store.find_events(&filter).await.unwrap()
}

/// Runs statements beside the server. Returns the error of the first that fails.
async fn run_beside(app: &App, sql: String) -> Result<(), String> {
    let sql = sqlx::AssertSqlSafe(sql);
    match &app.config.database.url {
        DatabaseUrl::Sqlite(file) => {
            let mut other = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
            other.execute(sql).await.map(drop).map_err(|error| error.to_string())
        }
        DatabaseUrl::Postgres(url) => {
            let mut other = PgConnection::connect(url).await.unwrap();
            other.execute(sql).await.map(drop).map_err(|error| error.to_string())
        }
    }
}

async fn events_are_append_only_r115_r147(app: App) {
    app.register("ann").await.log_in().await;
    let before = app.find_events(EventQuery::default()).await;
    assert_eq!(before.len(), 2);
    let values = "id, at, name, 'denied', subject_kind, subject_id, actor_kind, actor_id, credential_id, via, network, \
                  client, request_id, details FROM events";
    let mut changes = vec![
        "UPDATE events SET outcome = 'denied'".to_owned(),
        "UPDATE events SET at = 0 WHERE name = 'session.start'".to_owned(),
        "DELETE FROM events".to_owned(),
        "DELETE FROM events WHERE name = 'session.start'".to_owned(),
        format!("INSERT INTO events SELECT {values} ON CONFLICT (id) DO UPDATE SET outcome = 'denied'"),
    ];
    changes.push(match app.backend {
        Backend::Sqlite => format!("INSERT OR REPLACE INTO events SELECT {values}"),
        Backend::Postgres => "TRUNCATE events".to_owned(),
    });
    // A mark far in the past changes nothing.
    for mark in ["events_kept_since", "login_events_kept_since"] {
        run_beside(&app, format!("INSERT INTO server_facts VALUES ('{mark}', '1000')")).await.unwrap();
    }
    for change in changes {
        // Without a condition, SQLite reads ON as a part of a join.
        let change = change.replace("FROM events ON", "FROM events WHERE TRUE ON");
        let refused = run_beside(&app, change.clone()).await.expect_err(&change);
        assert!(refused.contains("append-only"), "{change}: {refused}");
    }
    assert_eq!(app.find_events(EventQuery::default()).await, before);
    let app = app.restart().await;
    assert!(run_beside(&app, "DELETE FROM events".to_owned()).await.is_err(), "a restart keeps the triggers");
}

async fn events_are_found_by_each_filter(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    app.clock.advance(Duration::from_hours(1));
    let noon = app.now().as_millis();
    let body = json!({ "email": "ann", "password": PASSWORD });
    app.post("api_auth/", &body).from("203.0.113.9").await.assert_status(200);
    ann.assert_cannot_log_in("wrong").await;
    app.clock.advance(Duration::from_hours(1));
    app.administer(Command::Disable { who: who(&bob), force: false }).await;
    let found = async |query: EventQuery| {
        let mut names: Vec<_> = app.find_events(query).await.into_iter().map(|event| event.name).collect();
        names.sort();
        names
    };
    let any = EventQuery::default;
    let text = str::to_owned;
    let of_bob = ["account.disable", "account.register"];
    assert_eq!(found(EventQuery { person: text("bob@example.org"), ..any() }).await, of_bob);
    assert_eq!(found(EventQuery { actor: text("ann"), ..any() }).await, ["session.start"]);
    assert!(found(EventQuery { actor: text("bob"), ..any() }).await.is_empty());
    assert_eq!(found(EventQuery { name: text("login"), ..any() }).await, ["login.fail"]);
    assert_eq!(found(EventQuery { name: text("account.disable"), ..any() }).await, ["account.disable"]);
    assert_eq!(found(EventQuery { outcome: text("failed"), ..any() }).await, ["login.fail"]);
    assert_eq!(found(EventQuery { network: text("203.0.113.x"), ..any() }).await, ["session.start"]);
    assert_eq!(
        found(EventQuery { from: Some(noon), to: Some(noon + 1), ..any() }).await,
        ["login.fail", "session.start"]
    );
    assert_eq!(found(EventQuery { to: Some(noon), ..any() }).await, ["account.register", "account.register"]);
    let person = EventQuery { person: text("ann"), name: text("session"), ..any() };
    assert_eq!(found(person.clone()).await, ["session.start"]);
    assert!(found(EventQuery { outcome: text("failed"), ..person }).await.is_empty());
    assert_eq!(found(EventQuery { settled: true, ..any() }).await.len(), 4, "the newest is not settled");
    app.clock.advance(Duration::from_secs(11));
    let all = app.find_events(EventQuery { settled: true, ..any() }).await;
    assert_eq!(all.len(), 5);
    let older = app.find_events(EventQuery { before: all[1].id.clone(), ..any() }).await;
    assert_eq!(older, all[2..]);
    let newer = app.find_events(EventQuery { after: all[2].id.clone(), oldest_first: true, ..any() }).await;
    assert_eq!(newer, [all[1].clone(), all[0].clone()]);
    let unknown = Command::Events { query: EventQuery { person: text("nemo"), ..any() } };
    assert_eq!(app.administer(unknown).await, Reply::NoSuchUser);
}

async fn old_events_are_deleted_and_no_others_r115(mut app: App) {
    let ann = app.register("ann").await;
    app.clock.advance(Duration::from_millis(1));
    ann.log_in().await;
    let day = Duration::from_hours(24);
    let names = async |app: &App| {
        let events = app.find_events(EventQuery { oldest_first: true, ..EventQuery::default() }).await;
        events.into_iter().map(|event| event.name).collect::<Vec<_>>()
    };
    let mut maintenance = app.maintenance.take().unwrap();
    app.clock.advance(89 * day);
    maintenance.sweep().await;
    assert_eq!(names(&app).await, ["account.register", "session.start"]);
    ann.log_in().await;
    app.clock.advance(2 * day);
    maintenance.sweep().await;
    assert_eq!(names(&app).await, ["account.register", "session.start"], "the first login is deleted");
    run_beside(&app, "DELETE FROM events WHERE name = 'session.start'".to_owned()).await.expect_err("a new one");
    run_beside(&app, "DELETE FROM events WHERE name = 'account.register'".to_owned()).await.expect_err("kept longer");
    app.clock.advance(310 * day);
    maintenance.sweep().await;
    assert!(names(&app).await.is_empty());
}

async fn an_owner_sees_no_operator_and_no_other_account_r115(app: App) {
    let ann = app.register("ann").await;
    app.register("bob").await;
    app.administer(Command::Disable { who: who(&ann), force: false }).await;
    app.administer(Command::Enable { who: who(&ann) }).await;
    let phone = ann.log_in().await;
    let export = phone.get("export/").await.json();
    let (events, id) = (export["events"].as_array().unwrap(), &phone.me().await["id"]);
    assert_eq!(events.len(), 5, "{events:?}");
    for event in events {
        assert_eq!(event["subject"]["id"], *id);
        if event["name"] == "account.disable" || event["name"] == "account.enable" {
            assert_eq!(event["actor"], json!({ "kind": "operator" }));
            assert!(event["details"].get("user").is_none(), "{event}");
        }
    }
}

async fn an_owner_reads_the_history_in_pages_r115(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let mut devices = Vec::new();
    for _ in 0..4 {
        app.clock.advance(Duration::from_secs(1));
        devices.push(ann.log_in().await);
    }
    let script = devices[0].create_access_token("reader", "read").await;
    let (mut ids, mut query) = (Vec::new(), "history/?limit=2".to_owned());
    loop {
        let page = script.get(&query).await.assert_status(200).json();
        let events = page["events"].as_array().unwrap().clone();
        assert!((1..=2).contains(&events.len()), "{page}");
        ids.extend(events.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("history/?limit=2&before={next}");
    }
    let whole = script.get("history/").await.assert_status(200).json();
    let whole: Vec<_> = whole["events"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
    assert_eq!(whole, ids);
    assert_eq!(ids.len(), 6, "a registration, four logins and a token");
    script.get("history/?limit=1000").await.assert_status(400).assert_code("bad_request");
    // An event of another account is only a position.
    let other = bob.log_in().await.get("history/").await.json()["events"][0]["id"].as_str().unwrap().to_owned();
    for query in ["limit=0", "limit=201", "limit=-1", "limit=", "before=", "before=x"] {
        script.get(&format!("history/?{query}")).await.assert_status(400).assert_code("bad_request");
    }
    let page = script.get(&format!("history/?before={other}")).await.assert_status(200).json();
    assert!(page["events"].as_array().unwrap().iter().all(|event| ids.iter().any(|id| event["id"] == *id)));
    app.get("history/").await.assert_status(401);
}

async fn a_deleted_account_keeps_its_events_without_its_name_r110(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    let id = phone.me().await["id"].as_str().unwrap().to_owned();
    let of_ann = || EventQuery { person: id.clone(), ..EventQuery::default() };
    assert!(app.find_events(of_ann()).await.iter().all(|event| event.subject.name.as_deref() == Some("ann")));
    phone.delete_account("ann").await.assert_status(204);
    let events = app.find_events(of_ann()).await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.subject.name.is_none() && event.subject.id.as_ref() == Some(&id)));
}

/// A change and its event are stored together, or neither is.
#[tokio::test]
async fn a_change_that_fails_leaves_no_event_r113() {
    let app = App::start(Backend::Sqlite).await;
    let phone = app.register("ann").await.log_in().await;
    let mut trail = Trail::new(&app).await;
    app.refuse("UPDATE OF username ON users").await;
    phone.change_username("annie").await.assert_status(500);
    trail.expect("a refused rename", &[]).await;
}

#[tokio::test]
async fn an_event_that_fails_undoes_its_change_r113() {
    let app = App::start(Backend::Sqlite).await;
    let phone = app.register("ann").await.log_in().await;
    app.refuse("INSERT ON events").await;
    phone.change_username("annie").await.assert_status(500);
    assert_eq!(phone.me().await["username"], "ann");
    app.user("ann").try_log_in(PASSWORD).await.assert_status(500);
    phone.log_out().await.assert_status(500);
    phone.assert_logged_in().await;
}
