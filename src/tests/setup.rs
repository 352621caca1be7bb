//! The first admin, who is made by a link, on both databases.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use vestibule::{
    domain::role::Role,
    service::{
        RegistrationMode,
        admin::{Command, Reply, ShownLink},
    },
};

use crate::util::{
    App, PASSWORD, Request,
    actors::{Client, Device},
    macros::both,
    some_address,
};

both! {
    the_link_creates_one_admin_with_a_confirmed_email_r142,
    the_link_makes_a_registered_account_the_first_admin_r142,
    fifty_who_open_the_link_make_one_admin_r142,
    fifty_sessions_with_the_link_make_one_admin_r142,
    an_account_and_a_session_with_the_link_make_one_admin_r142,
    only_the_newest_link_works_for_an_hour_r142,
    a_link_is_dead_once_there_is_an_admin_r142,
    a_wrong_or_weak_field_leaves_the_link_valid,
    no_rule_for_registrations_stops_the_first_admin,
    invalid_setup_links_are_rate_limited_r142,
}

const INVALID: &str = "setup_link_invalid";

impl App {
    async fn setup_link(&self) -> String {
        match self.administer(Command::SetupLink).await {
            Reply::SetupLink { link: ShownLink { token, .. } } => token,
            other => panic!("no link: {other:?}"),
        }
    }

    fn set_up(&self, link: &str, name: &str) -> Request {
        let email = format!("{name}@example.org");
        let body = json!({ "token": link, "email": email, "username": name, "password": PASSWORD });
        self.post("/api/admin/setup/", &body).with_fresh_address()
    }

    async fn admins(&self) -> Vec<String> {
        let Reply::Users { users } = self.administer(Command::ListOperators).await else { panic!("no list") };
        let admins = users.into_iter().filter(|line| line.account.role == Some(Role::Admin));
        admins.map(|line| line.account.username).collect()
    }

    async fn set_disabled(&self, who: &str, disabled: bool) {
        let who = who.to_owned();
        let command = if disabled { Command::Disable { who, force: true } } else { Command::Enable { who } };
        assert!(matches!(self.administer(command).await, Reply::Done { .. }));
    }
}

impl Device {
    fn become_admin(&self, link: &str, password: &str) -> Request {
        self.post("/api/admin/setup/me/", &json!({ "token": link, "password": password }))
    }
}

async fn the_link_creates_one_admin_with_a_confirmed_email_r142(app: App) {
    let link = app.setup_link().await;
    let ann = app.user("ann");
    assert_eq!(app.set_up(&link, "ann").await.assert_status(200).json(), json!({ "status": "ok" }));
    let me = ann.log_in().await.me().await;
    assert_eq!((&me["role"], &me["email_verified"]), (&json!("admin"), &Value::Bool(true)));
    let mail = app.deliver_one().await;
    assert_eq!((mail.to, mail.subject), (ann.email(), "You have the role admin at Vestibule".to_owned()));
    app.set_up(&link, "bob").await.assert_status(410).assert_code(INVALID);
    assert_eq!(app.admins().await, ["ann"]);
}

async fn the_link_makes_a_registered_account_the_first_admin_r142(app: App) {
    let ann = app.register("ann").await;
    app.deliver().await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    let script = phone.create_access_token("a script", "full").await;
    let link = app.setup_link().await;
    let wrong = phone.become_admin(&link, "not my password").await;
    wrong.assert_status(403).assert_code("wrong_password");
    let body = json!({ "token": link, "password": PASSWORD });
    script.post("/api/admin/setup/me/", &body).await.assert_status(403).assert_code("session_required");

    phone.become_admin(&link, PASSWORD).await.assert_status(200);
    for ended in [&phone, &laptop] {
        ended.assert_logged_out().await;
    }
    script.assert_logged_out().await;
    let phone = ann.log_in().await;
    let me = phone.me().await;
    assert_eq!((&me["role"], &me["email_verified"]), (&json!("admin"), &Value::Bool(true)));
    phone.become_admin(&link, PASSWORD).await.assert_status(410).assert_code(INVALID);
}

async fn fifty_who_open_the_link_make_one_admin_r142(app: App) {
    let link = app.setup_link().await;
    let names: Vec<String> = (0..50).map(|number| format!("ann{number}")).collect();
    let answers = join_all(names.iter().map(|name| app.set_up(&link, name).send())).await;
    let created = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((created, app.admins().await.len()), (1, 1), "{answers:?}");
    assert_eq!(app.store.list_users("", 100).await.unwrap().len(), 1, "nobody else has an account");
}

async fn fifty_sessions_with_the_link_make_one_admin_r142(app: App) {
    let link = app.setup_link().await;
    let mut devices = Vec::new();
    for number in 0..50 {
        devices.push(app.register(&format!("ann{number}")).await.log_in().await);
    }
    let answers = join_all(devices.iter().map(|device| device.become_admin(&link, PASSWORD).send())).await;
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((made, app.admins().await.len()), (1, 1), "{answers:?}");
}

async fn an_account_and_a_session_with_the_link_make_one_admin_r142(app: App) {
    for round in 0..10 {
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        let device = app.register(&old).await.log_in().await;
        let link = app.setup_link().await;
        let answers = join_all([device.become_admin(&link, PASSWORD).send(), app.set_up(&link, &new).send()]).await;
        let made = answers.iter().filter(|answer| answer.status == 200).count();
        let admins = app.admins().await;
        assert_eq!((made, admins.len()), (1, 1), "{answers:?}");
        let delete = Command::Delete { who: admins[0].clone(), force: true };
        assert!(matches!(app.administer(delete).await, Reply::Done { .. }));
    }
}

async fn only_the_newest_link_works_for_an_hour_r142(app: App) {
    let (old, link) = (app.setup_link().await, app.setup_link().await);
    app.set_up(&old, "ann").await.assert_status(410).assert_code(INVALID);
    app.clock.advance(Duration::from_hours(1));
    app.set_up(&link, "ann").await.assert_status(410).assert_code(INVALID);
    // The clock is set back to before the link was created, further than clocks usually differ.
    app.clock.go_back(Duration::from_hours(3));
    app.set_up(&link, "ann").await.assert_status(410).assert_code(INVALID);
    let link = app.setup_link().await;
    app.clock.advance(Duration::from_mins(59));
    app.set_up(&link, "ann").await.assert_status(200);
}

async fn a_link_is_dead_once_there_is_an_admin_r142(app: App) {
    let first = app.setup_link().await;
    app.set_up(&first, "ann").await.assert_status(200);
    assert_eq!(app.administer(Command::SetupLink).await, Reply::AdminExists);
    // A disabled admin can't run the server.
    app.set_disabled("ann", true).await;
    let link = app.setup_link().await;
    app.set_disabled("ann", false).await;
    app.set_up(&link, "bob").await.assert_status(410).assert_code(INVALID);
    // The command line makes an admin, and the link stays void when that admin is removed.
    app.set_disabled("ann", true).await;
    let link = app.setup_link().await;
    let (email, username, password) = ("cyd@example.org".to_owned(), "cyd".to_owned(), PASSWORD.to_owned());
    app.administer(Command::Add { email, username, password, role: Some(Role::Admin) }).await;
    app.set_disabled("cyd", true).await;
    app.set_up(&link, "bob").await.assert_status(410).assert_code(INVALID);
}

async fn a_wrong_or_weak_field_leaves_the_link_valid(app: App) {
    app.register("eve").await;
    let link = app.setup_link().await;
    app.set_up(&link, "eve").await.assert_status(409).assert_code("taken");
    let body = json!({ "token": link, "email": "x", "username": "a", "password": "password" });
    let refused = app.post("/api/admin/setup/", &body).await.assert_status(400).json();
    let fields: Vec<_> = refused["errors"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["email", "password", "username"]);
    app.set_up(&link, "ann").await.assert_status(200);
}

async fn no_rule_for_registrations_stops_the_first_admin(app: App) {
    let app = app.restart_changed(|config| config.registration.mode = RegistrationMode::Closed).await;
    let link = app.setup_link().await;
    app.set_up(&link, "admin").await.assert_status(200);
    assert_eq!(app.admins().await, ["admin"]);
    let mails = app.deliver().await;
    assert_eq!(mails.len(), 1, "the email needs no confirmation: {mails:?}");
}

async fn invalid_setup_links_are_rate_limited_r142(app: App) {
    let link = app.setup_link().await;
    let body = json!({ "token": format!("vsl_{}", "A".repeat(49)), "email": "", "username": "", "password": "" });
    app.post("/api/admin/setup/", &body).await.assert_status(410).assert_code(INVALID);
    let newer = app.setup_link().await;
    let stranger = some_address();
    for _ in 0..60 {
        app.set_up(&link, "ann").from(&stranger).await.assert_status(410);
    }
    for link in [&link, &newer] {
        app.set_up(link, "ann").from(&stranger).await.assert_status(429);
    }
    app.set_up(&newer, "ann").await.assert_status(200);
}
