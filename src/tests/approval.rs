//! Registrations that an operator must approve, and accounts that nobody uses in time, on both databases.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use vestibule::{
    domain::{event::EventQuery, role::Role},
    mail::MailUrl,
    server::config::Config,
    service::{
        RegistrationMode,
        admin::{Command, Reply},
        restore::RestoreOptions,
    },
};

use crate::util::{
    App, PASSWORD, Response,
    actors::{Client, Device},
    macros::both,
    operator,
};

both! {
    an_account_waits_until_an_operator_approves_it_r144,
    a_waiting_account_is_approved_and_declined_by_command,
    a_declined_account_is_deleted_and_its_email_notified,
    only_a_waiting_account_is_declined,
    nobody_registers_where_nobody_could_approve_r144,
    an_invited_account_needs_no_approval_r143_r144,
    a_waiting_account_reveals_nothing_to_strangers_r2_r144,
    a_password_link_opens_no_waiting_account_r144,
    a_role_implies_the_approval,
    operators_get_one_mail_an_hour_about_waiting_accounts,
    an_account_that_waits_too_long_is_deleted,
    an_unconfirmed_account_that_nobody_uses_is_deleted_r11,
    a_used_confirmed_or_disabled_account_never_expires_r11,
    without_a_mail_server_no_account_expires_r11,
    an_approved_account_has_time_to_be_confirmed_r11,
    a_restore_deletes_no_account_that_was_used_since_r107,
    the_page_announces_the_approval_r144,
}

const DAY: Duration = Duration::from_hours(24);

fn approves(config: &mut Config) {
    config.registration.mode = RegistrationMode::Approval;
    sends(config);
}

fn sends(config: &mut Config) {
    config.mail.url = MailUrl::parse("smtp://127.0.0.1:9").unwrap();
    config.server.public_url = Some("https://accounts.example.org".parse().unwrap());
}

impl App {
    /// A server that sends mail, where a support decides about each account.
    fn with_approval(self) -> LocalBoxFuture<'static, (Self, Device)> {
        Box::pin(async move {
            let app = self.restart_changed(approves).await;
            app.add_operator("helper", Role::Support).await;
            let helper = app.user("helper").log_in().await;
            (app, helper)
        })
    }

    async fn add_operator(&self, name: &str, role: Role) {
        let (email, username) = (format!("{name}@example.org"), name.to_owned());
        let add = Command::Add { email, username, password: PASSWORD.to_owned(), role: Some(role) };
        let added = self.administer(add).await;
        assert!(matches!(added, Reply::Added { .. }), "{added:?}");
        self.deliver().await;
    }

    async fn id_of(&self, name: &str) -> String {
        match self.administer(Command::Show { who: name.to_owned() }).await {
            Reply::User { details } => details.line.account.id,
            other => panic!("{other:?}"),
        }
    }

    async fn exists(&self, name: &str) -> bool {
        !matches!(self.administer(Command::Show { who: name.to_owned() }).await, Reply::NoSuchUser)
    }

    /// The names of an account's events, the newest first.
    async fn events_of(&self, id: &str) -> Vec<String> {
        let query = EventQuery { person: id.to_owned(), limit: 20, ..EventQuery::default() };
        match self.administer(Command::Events { query }).await {
            Reply::Events { events } => events.into_iter().map(|event| event.name).collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn sweep_accounts(&mut self) -> u64 {
        self.maintenance.as_mut().unwrap().sweep_accounts().await.unwrap()
    }
}

impl Device {
    async fn decide(&self, id: &str, decision: &str, body: &Value) -> Response {
        self.post(&format!("/api/admin/accounts/{id}/{decision}/"), body).await
    }

    async fn waiting(&self) -> Vec<String> {
        let page = self.get("/api/admin/accounts/?state=pending").await.assert_status(200).json();
        let names = page["accounts"].as_array().unwrap().iter();
        names.map(|account| account["username"].as_str().unwrap().to_owned()).collect()
    }
}

async fn an_account_waits_until_an_operator_approves_it_r144(app: App) {
    let (app, helper) = app.with_approval().await;
    let ann = app.user("ann");
    ann.register().await.assert_status(200).assert_contains("waits for an operator's approval");
    let mail = app.deliver_one().await;
    assert_eq!(mail.subject, "Confirm your email for Vestibule");
    ann.try_log_in(PASSWORD).await.assert_status(403).assert_contains("An operator must approve your account");
    ann.assert_cannot_log_in("wrong").await;
    assert_eq!(helper.waiting().await, ["ann"]);
    let id = app.id_of("ann").await;
    let details = helper.get(&format!("/api/admin/accounts/{id}/")).await.json();
    assert_eq!((&details["account"]["state"], details["pending_since"].is_string()), (&json!("pending"), true));

    helper.decide(&id, "approve", &json!({})).await.assert_status(200);
    let mail = app.deliver_one().await;
    assert_eq!((mail.to, mail.subject), (ann.email(), "Your account at Vestibule is approved".to_owned()));
    ann.log_in().await.assert_logged_in().await;
    assert!(helper.waiting().await.is_empty());
    assert!(app.events_of(&id).await.contains(&"account.approve".to_owned()));
    // Another operator may have been quicker. That changes nothing.
    helper.decide(&id, "approve", &json!({})).await.assert_status(200);
    app.assert_no_mail().await;
}

async fn a_waiting_account_is_approved_and_declined_by_command(app: App) {
    let (app, _) = app.with_approval().await;
    for name in ["ann", "bob"] {
        app.user(name).register().await.assert_status(200);
    }
    let Reply::Users { users } = app.administer(Command::List { after: String::new() }).await else {
        panic!("no list")
    };
    let mut waiting: Vec<_> = users.iter().filter(|user| user.pending).map(|user| &*user.account.username).collect();
    waiting.sort_unstable();
    assert_eq!(waiting, ["ann", "bob"]);
    let approved = app.administer(Command::Approve { who: "ann".to_owned() }).await;
    assert!(matches!(approved, Reply::Done { .. }), "{approved:?}");
    app.user("ann").assert_can_log_in(PASSWORD).await;
    let declined = app.administer(Command::Decline { who: "bob".to_owned(), notify: false }).await;
    assert!(matches!(declined, Reply::Done { .. }) && !app.exists("bob").await, "{declined:?}");
}

async fn a_declined_account_is_deleted_and_its_email_notified(app: App) {
    let (app, helper) = app.with_approval().await;
    for name in ["ann", "bob"] {
        app.user(name).register().await.assert_status(200);
    }
    app.deliver().await;
    for (name, body) in [("ann", json!({ "notify": true })), ("bob", json!({}))] {
        let id = app.id_of(name).await;
        helper.decide(&id, "decline", &body).await.assert_status(200);
        assert!(!app.exists(name).await);
        assert!(app.events_of(&id).await.contains(&"account.decline".to_owned()));
    }
    let mail = app.deliver_one().await;
    assert_eq!((&*mail.to, &*mail.subject), ("ann@example.org", "Your registration at Vestibule was declined"));
    app.user("ann").register().await.assert_status(200);
    assert_eq!(helper.waiting().await, ["ann"]);
    let by_page = json!({ "id": app.id_of("ann").await, "notify": false });
    app.post("/fn/decline_account", &by_page).await.assert_status(401);
    helper.post("/fn/decline_account", &by_page).await.assert_status(200);
    assert!(!app.exists("ann").await);
}

async fn only_a_waiting_account_is_declined(app: App) {
    let ann = app.register("ann").await.log_in().await;
    let (app, helper) = app.with_approval().await;
    let id = app.id_of("ann").await;
    helper.decide(&id, "decline", &json!({})).await.assert_status(409).assert_code("not_pending");
    app.device(&ann.token).assert_logged_in().await;
    let refused = app.administer(Command::Decline { who: "ann".to_owned(), notify: false }).await;
    assert!(matches!(refused, Reply::Refused { .. }), "{refused:?}");
    assert!(app.exists("ann").await);
}

async fn nobody_registers_where_nobody_could_approve_r144(app: App) {
    let app = app.restart_changed(approves).await;
    let body = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD });
    app.post("/fn/register", &body).await.assert_status(403).assert_code("registration_closed");
    // An auditor only looks.
    app.add_operator("watcher", Role::Auditor).await;
    app.post("/fn/register", &body).await.assert_status(403).assert_code("registration_closed");
    app.add_operator("boss", Role::Admin).await;
    app.post("/fn/register", &body).await.assert_status(200);
}

async fn an_invited_account_needs_no_approval_r143_r144(app: App) {
    use vestibule::{domain::invitation::InvitationRequest, service::admin::InvitationAction};

    let (app, _) = app.with_approval().await;
    let request = InvitationRequest {
        email: None,
        uses: 1.try_into().unwrap(),
        days: "7".parse().unwrap(),
        groups: Vec::new(),
        note: "".parse().unwrap(),
        send: false,
    };
    let invited = app.administer(Command::Invitation { action: InvitationAction::Add { request } }).await;
    let Reply::Invited { link: Some(link), .. } = invited else { panic!("{invited:?}") };
    let body = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD, "invitation": link.token });
    app.post("api_register/", &body).await.assert_status(200).assert_contains("is created!");
    app.user("ann").assert_can_log_in(PASSWORD).await;
}

async fn a_waiting_account_reveals_nothing_to_strangers_r2_r144(app: App) {
    let (app, _) = app.with_approval().await;
    let register = async |email: &str, username: &str| {
        let body = json!({ "email": email, "username": username, "password": PASSWORD });
        let mut response = app.post("/fn/register", &body).with_fresh_address().await.assert_status(200).json();
        for own in ["id", "email", "username"] {
            response["account"][own] = Value::Null;
        }
        response
    };
    let new = register("ann@example.org", "ann").await;
    assert_eq!(new["pending"], true);
    assert_eq!(new, register("helper@example.org", "other").await, "the email of an operator");
    assert_eq!(new, register("ann@example.org", "another").await, "the email of an account that waits");
}

async fn a_password_link_opens_no_waiting_account_r144(app: App) {
    let (app, helper) = app.with_approval().await;
    let ann = app.user("ann");
    ann.register().await.assert_status(200);
    app.deliver().await;
    ann.forgot_password().await.assert_status(200);
    let link = app.deliver_link().await;
    app.reset_password(&link, "walrus orchard lantern").await.assert_status(200);
    ann.try_log_in("walrus orchard lantern").await.assert_status(403);
    assert_eq!(helper.waiting().await, ["ann"]);
}

async fn a_role_implies_the_approval(app: App) {
    let (app, helper) = app.with_approval().await;
    app.user("ann").register().await.assert_status(200);
    app.administer(Command::Confirm { who: "ann".to_owned() }).await;
    app.administer(Command::SetRole { who: "ann".to_owned(), role: Some(Role::Admin), force: false }).await;
    app.user("ann").assert_can_log_in(PASSWORD).await;
    assert!(helper.waiting().await.is_empty());
}

async fn operators_get_one_mail_an_hour_about_waiting_accounts(app: App) {
    let (mut app, _) = app.with_approval().await;
    app.add_operator("boss", Role::Admin).await;
    app.add_operator("watcher", Role::Auditor).await;
    app.notify_approvers(&[]).await;
    let register = async |app: &App, name: &str| {
        app.user(name).register().await.assert_status(200);
        app.deliver().await;
    };
    register(&app, "ann").await;
    register(&app, "bob").await;
    app.clock.advance(Duration::from_secs(1));
    app.notify_approvers(&["boss@example.org", "helper@example.org"]).await;
    // Nobody new waits. A day later they are reminded.
    app.clock.advance(Duration::from_hours(23));
    app.notify_approvers(&[]).await;
    app.clock.advance(Duration::from_hours(1));
    app.notify_approvers(&["boss@example.org", "helper@example.org"]).await;
    app.clock.advance(Duration::from_hours(1));
    register(&app, "carol").await;
    app.notify_approvers(&["boss@example.org", "helper@example.org"]).await;
    app.clock.advance(Duration::from_mins(59));
    register(&app, "dave").await;
    app.notify_approvers(&[]).await;
    app.clock.advance(Duration::from_mins(2));
    app.notify_approvers(&["boss@example.org", "helper@example.org"]).await;
}

impl App {
    /// Notifies operators, and checks who gets a mail.
    async fn notify_approvers(&mut self, expected: &[&str]) {
        self.maintenance.as_ref().unwrap().notify_approvers().await.unwrap();
        let mut mails = self.deliver().await;
        mails.sort_by(|one, other| one.to.cmp(&other.to));
        assert_eq!(mails.iter().map(|mail| &*mail.to).collect::<Vec<_>>(), expected);
        assert!(mails.iter().all(|mail| mail.subject == "New accounts wait at Vestibule"), "{mails:?}");
    }
}

async fn an_account_that_waits_too_long_is_deleted(app: App) {
    let (mut app, _) = app.with_approval().await;
    app.user("ann").register().await.assert_status(200);
    let id = app.id_of("ann").await;
    app.administer(Command::Confirm { who: "ann".to_owned() }).await;
    app.clock.advance(29 * DAY + Duration::from_secs(86_399));
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (0, true));
    app.clock.advance(Duration::from_secs(1));
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (1, false));
    assert_eq!(app.events_of(&id).await[0], "account.expire");
}

async fn an_unconfirmed_account_that_nobody_uses_is_deleted_r11(app: App) {
    let mut app = app.restart_changed(sends).await;
    app.register("ann").await;
    app.clock.advance(7 * DAY + Duration::from_secs(86_399));
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (0, true));
    app.clock.advance(Duration::from_secs(1));
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (1, false));
    app.register("ann").await;
}

async fn a_used_confirmed_or_disabled_account_never_expires_r11(app: App) {
    let mut app = app.restart_changed(sends).await;
    app.register("used").await.log_in().await;
    for name in ["confirmed", "disabled"] {
        app.register(name).await;
    }
    app.add_operator("added", Role::Admin).await;
    app.administer(Command::Confirm { who: "confirmed".to_owned() }).await;
    app.administer(Command::Disable { who: "disabled".to_owned(), force: false }).await;
    app.clock.advance(300 * DAY);
    assert_eq!(app.sweep_accounts().await, 0);
    for name in ["used", "confirmed", "disabled", "added"] {
        assert!(app.exists(name).await, "{name}");
    }
    app.administer(Command::Enable { who: "disabled".to_owned() }).await;
    assert_eq!((app.sweep_accounts().await, app.exists("disabled").await), (0, true));
}

async fn without_a_mail_server_no_account_expires_r11(app: App) {
    let mut app = app.restart_changed(|config| config.mail.url = MailUrl::Off).await;
    app.register("ann").await;
    app.clock.advance(300 * DAY);
    assert_eq!(app.sweep_accounts().await, 0);
    app = app.restart_changed(sends).await;
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (0, true));
}

async fn an_approved_account_has_time_to_be_confirmed_r11(app: App) {
    let (mut app, _) = app.with_approval().await;
    app.user("ann").register().await.assert_status(200);
    app.clock.advance(29 * DAY);
    app.administer(Command::Approve { who: "ann".to_owned() }).await;
    app.clock.advance(7 * DAY + Duration::from_secs(86_399));
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (0, true));
    app.clock.advance(Duration::from_secs(1));
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (1, false));
}

async fn a_restore_deletes_no_account_that_was_used_since_r107(app: App) {
    let (mut app, _) = app.with_approval().await;
    app.user("ann").register().await.assert_status(200);
    app.clock.advance(300 * DAY);
    // The copy doesn't know whether somebody approved her since.
    app.service.revoke_after_restore(operator(), RestoreOptions::default()).await.unwrap();
    assert_eq!((app.sweep_accounts().await, app.exists("ann").await), (0, true));
}

async fn the_page_announces_the_approval_r144(app: App) {
    let (app, _) = app.with_approval().await;
    let register = app.get("/register").await;
    register.assert_contains("An operator approves each account").assert_contains("<form");
    app.get("/login").await.assert_contains("href=\"/register\"");
}
