//! Registering, who may do it, and which emails accounts may have, through every entry point.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use vestibule::{
    domain::email_domain::EmailDomain,
    server::config::Config,
    service::{
        RegistrationMode,
        admin::{Command, Reply},
    },
};

use crate::util::{
    App, Backend, NEW, PASSWORD,
    actors::{Client, Device},
    macros::{both, snapshot},
    mail_capture::token_of,
};

both! {
    registering_on_the_page_logs_in,
    one_hundred_registrations_of_one_email_make_one_account_r1,
    a_taken_email_and_a_taken_username_get_one_response_r1,
    extra_fields_are_never_applied_r5_r51,
    all_invalid_fields_are_reported_at_once,
    closed_registration_admits_only_the_operators_accounts_r10,
    the_page_offers_registration_only_while_it_is_open_r10,
    only_allowed_domains_register_and_are_moved_to_r10,
    denied_domains_neither_register_nor_are_moved_to_r10,
    an_older_link_moves_no_account_to_a_denied_domain_r10,
    an_email_change_is_undone_to_a_denied_domain_r10,
    only_the_operator_gives_reserved_names_r4,
}

const REGISTER: [&str; 2] = ["api_register/", "/fn/register"];
const CHANGE_EMAIL: [&str; 2] = ["change_email/", "/fn/change_email"];

fn close(config: &mut Config) {
    config.registration.mode = RegistrationMode::Closed;
}

fn domains(texts: &[&str]) -> Vec<EmailDomain> {
    texts.iter().map(|text| EmailDomain::parse(text).unwrap()).collect()
}

fn account(email: &str, username: &str) -> Value {
    json!({ "email": email, "username": username, "password": PASSWORD })
}

/// The operator adds an account.
async fn add(app: &App, email: &str, username: &str) {
    let (email, username, password) = (email.to_owned(), username.to_owned(), PASSWORD.to_owned());
    let reply = app.administer(Command::Add { email, username, password, role: None }).await;
    assert!(matches!(reply, Reply::Added { .. }), "{reply:?}");
}

async fn count_accounts(app: &App) -> usize {
    app.store.list_users("", 100).await.unwrap().len()
}

async fn registering_on_the_page_logs_in(app: App) {
    let page = app.post("/fn/register", &account("ann@example.org", "ann")).with_fresh_address().await;
    let browser = app.device(&page.token());
    browser.assert_logged_in().await;
    // A registration on the page counts as a password check.
    browser.end_other_sessions().await.assert_status(200);
    // The API's response has no token, as existing clients expect.
    let api = app.user("bob").register().await;
    assert_eq!(api.json(), json!({ "status": "ok", "response": "The account is created!" }));
}

async fn one_hundred_registrations_of_one_email_make_one_account_r1(app: App) {
    let app = app.restart_changed(|config| {
        (config.password.hashing_queue, config.password.hashing_timeout) = (100, Duration::from_mins(5));
    });
    let app = app.await;
    let mut siblings = vec![];
    if app.backend == Backend::Postgres {
        siblings.push(app.sibling().await);
        siblings.push(app.sibling().await);
    }
    let servers: Vec<&App> = siblings.iter().chain([&app]).collect();
    let spellings =
        ["ann@bücher.example", "ANN@bu\u{308}cher.example", "Ann@xn--bcher-kva.EXAMPLE", " ann@BÜCHER.example"];
    let requests = (0..100).map(|n| {
        let body = account(spellings[n % 4], &format!("ann{n}"));
        servers[n % servers.len()].post("api_register/", &body).with_fresh_address().send()
    });
    let responses = join_all(requests).await;
    let count = |status: u16| responses.iter().filter(|response| response.status == status).count();
    assert_eq!(count(200), 1);
    assert_eq!(count(409), 99);
    assert_eq!(count_accounts(&app).await, 1);
}

async fn a_taken_email_and_a_taken_username_get_one_response_r1(app: App) {
    app.register("ann").await;
    for (email, username) in [("ANN@example.org", "bob"), ("bob@example.org", "Ann")] {
        let taken = app.post("api_register/", &account(email, username)).with_fresh_address().await;
        snapshot!(taken.shape(), @r#"
        409 Conflict
        cache-control: no-store
        content-type: application/json; charset=utf-8
        vary: Authorization, Origin, Sec-Fetch-Site
        {"status":"fail","errors":{"account":["An account with this email or username already exists. Log in, or choose another email and username."]}}
        "#);
    }
}

async fn extra_fields_are_never_applied_r5_r51(app: App) {
    let body = json!({
        "email": "ann@example.org", "username": "ann", "password": PASSWORD, "id": "1", "is_admin": true,
        "is_active": false, "roles": ["admin"], "role": "admin", "groups": ["admins"], "created_at": "1999-01-01T00:00:00Z", "disabled_at": 1,
        "email_verified": true, "password_hash": "x", "token": "vst_x",
    });
    app.post("api_register/", &body).await.assert_status(200);
    let me = app.user("ann").log_in().await.me().await;
    let keys: HashSet<&str> = me.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        HashSet::from(["id", "email", "email_verified", "username", "groups", "created_at", "expires_at"])
    );
    assert_eq!(me["email_verified"], false);
    assert_eq!(me["created_at"], "2026-11-22T12:00:00Z");
    assert_eq!(me["expires_at"], "2026-11-23T12:00:00Z");
    assert_ne!(me["id"], "1");
}

/// The API and the page report the same invalid fields.
async fn assert_invalid(device: &Device, endpoint: &str, function: &str, body: &Value, fields: &[&str]) {
    let api = device.post(endpoint, body).await.assert_status(400).json();
    let reported: HashSet<&str> = api["errors"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(reported, fields.iter().copied().collect(), "{endpoint} {body}");
    let page = device.call(function, body).await.assert_status(400).json();
    let reported = page["invalid"].as_array().unwrap().iter().map(|problem| problem["field"].as_str().unwrap());
    assert_eq!(reported.collect::<Vec<_>>(), fields, "{function} {body}");
}

async fn all_invalid_fields_are_reported_at_once(app: App) {
    let phone = app.register("ann").await.log_in().await;
    let register = async |body: Value, fields: &[&str]| {
        assert_invalid(&phone, "api_register/", "register", &body, fields).await;
    };
    let change = async |body: Value, fields: &[&str]| {
        assert_invalid(&phone, "change_password/", "change_password", &body, fields).await;
    };
    let all = json!({ "email": "nope", "username": "x", "password": "password" });
    register(all, &["email", "username", "password"]).await;
    let own = json!({ "email": "maya.lindqvist@nowhere", "username": "maya", "password": "Maya Lindqvist@nowhere" });
    register(own, &["email", "password"]).await;
    let missing = json!({ "current_password": "", "new_password": "password" });
    change(missing, &["current_password", "new_password"]).await;
    let wrong = json!({ "current_password": "wrong", "new_password": "password" });
    change(wrong, &["current_password", "new_password"]).await;
    phone.try_change_password("wrong", NEW).await.assert_status(403).assert_code("wrong_password");
}

async fn closed_registration_admits_only_the_operators_accounts_r10(app: App) {
    let app = app.restart_changed(close).await;
    for body in [account("ann@example.org", "ann"), json!({ "email": "", "username": "", "password": "" })] {
        let api = app.post("api_register/", &body).with_fresh_address().await;
        let sentence = "Registration is closed. Ask the operator of this service for an account.";
        let expected = json!({ "status": "fail", "errors": { "account": [sentence] } });
        assert_eq!(api.assert_status(403).json(), expected);
        let page = app.post("/fn/register", &body).with_fresh_address().await;
        page.assert_status(403).assert_code("registration_closed");
    }
    assert_eq!(count_accounts(&app).await, 0);
    add(&app, "ann@example.org", "ann").await;
    app.user("ann").assert_can_log_in(PASSWORD).await;
}

async fn the_page_offers_registration_only_while_it_is_open_r10(app: App) {
    const LINK: &str = "href=\"/register\"";
    const OPTION: &str = "<option value=\"/register\"";
    let page = async |app: &App, path: &str| app.get(path).await.text;

    let login = page(&app, "/login").await;
    assert!(login.contains(LINK) && login.contains(OPTION), "{login}");
    assert!(page(&app, "/register").await.contains("<form"));

    let app = app.restart_changed(close).await;
    for path in ["/login", "/nothing", "/forgot", "/verify", "/register"] {
        let html = page(&app, path).await;
        assert!(!html.contains(LINK) && !html.contains(OPTION), "{path}");
    }
    let register = page(&app, "/register").await;
    assert!(register.contains("Registration is closed"), "{register}");
    assert!(!register.contains("<form"), "{register}");
}

async fn only_allowed_domains_register_and_are_moved_to_r10(app: App) {
    let allowed = domains(&["example.org", "bücher.example"]);
    let app = app.restart_changed(|config| config.registration.allowed_domains = allowed).await;
    for (at, email) in ["eve@example.com", "eve@notexample.org", "eve@example.org.net"].iter().enumerate() {
        let body = json!({ "email": email, "username": format!("eve{at}"), "password": "" });
        let api = app.post("api_register/", &body).with_fresh_address().await;
        api.assert_field_error("email", "Use an email address of example.org or xn--bcher-kva.example.");
        assert!(api.json()["errors"]["password"].is_array(), "the other errors are reported too");
        app.post("/fn/register", &body).with_fresh_address().await.assert_status(400);
    }
    for (at, email) in ["ann@example.org", "ann@mail.EXAMPLE.org", "ann@BÜCHER.example"].iter().enumerate() {
        let body = account(email, &format!("ann{at}"));
        app.post(REGISTER[at % 2], &body).with_fresh_address().await.assert_status(200);
    }
    app.deliver().await;
    let phone = app.user("ann0").log_in().await;
    for path in CHANGE_EMAIL {
        let refused = phone.post(path, &json!({ "new_email": "ann@example.com" })).await;
        refused.assert_status(400).assert_contains("example.org");
    }
    assert!(app.deliver().await.is_empty(), "no mail is sent to a denied domain");
    // The operator may add it.
    add(&app, "guest@example.com", "guest").await;
}

async fn denied_domains_neither_register_nor_are_moved_to_r10(app: App) {
    const MESSAGE: &str = "This email provider can't be used here. Use another email address.";
    let denied = domains(&["mailinator.com"]);
    let app = app.restart_changed(|config| config.registration.denied_domains = denied).await;
    let ann = app.register("ann").await;
    app.deliver().await;
    let body = account("eve@x.Mailinator.com", "eve");
    app.post("api_register/", &body).with_fresh_address().await.assert_field_error("email", MESSAGE);
    app.post("/fn/register", &body).with_fresh_address().await.assert_status(400);
    let phone = ann.log_in().await;
    phone.change_email("ann@mailinator.com").await.assert_field_error("new_email", MESSAGE);
    assert_eq!(count_accounts(&app).await, 1);
}

/// Confirms the email of a new account. Returns a session.
async fn register_confirmed(app: &App, name: &str) -> Device {
    let user = app.register(name).await;
    let link = token_of(&app.deliver_one().await);
    let confirmed =
        app.post("verify_email/", &json!({ "token": link, "password": PASSWORD })).with_fresh_address().await;
    confirmed.assert_status(200);
    user.log_in().await
}

/// Requests a change of the email. Returns the link's token.
async fn request_email_change(app: &App, device: &Device, email: &str) -> String {
    device.change_email(email).await.assert_status(200);
    token_of(&app.deliver_one().await)
}

async fn an_older_link_moves_no_account_to_a_denied_domain_r10(app: App) {
    let phone = register_confirmed(&app, "ann").await;
    let link = request_email_change(&app, &phone, "ann@example.com").await;
    let denied = domains(&["example.com"]);
    let app = app.restart_changed(|config| config.registration.denied_domains = denied).await;
    let checked = app.post("/fn/check_link", &json!({ "token": link })).with_fresh_address().await;
    assert_eq!(checked.json(), Value::Null);
    let followed =
        app.post("confirm_email/", &json!({ "token": link, "password": PASSWORD })).with_fresh_address().await;
    followed.assert_status(410);
}

async fn an_email_change_is_undone_to_a_denied_domain_r10(app: App) {
    let phone = register_confirmed(&app, "ann").await;
    let link = request_email_change(&app, &phone, "ann@example.net").await;
    let followed =
        app.post("confirm_email/", &json!({ "token": link, "password": PASSWORD })).with_fresh_address().await;
    followed.assert_status(200);
    let link = token_of(&app.deliver_one().await);
    // Denies the domain of the earlier email.
    let denied = domains(&["example.org"]);
    let app = app.restart_changed(|config| config.registration.denied_domains = denied).await;
    let undone = app.post("undo_email/", &json!({ "token": link, "new_password": NEW })).with_fresh_address().await;
    undone.assert_status(200);
}

async fn only_the_operator_gives_reserved_names_r4(app: App) {
    add(&app, "ann@example.org", "Admin").await;
    let mut phone = app.user("admin").log_in().await;
    // The owner of a reserved username has the same rights as every user.
    phone.change_password(NEW).await;
    phone.change_username("root").await.assert_status(400);
    phone.call("change_username", &json!({ "username": "root" })).await.assert_status(400);
    for path in REGISTER {
        app.post(path, &account("eve@example.org", "root")).with_fresh_address().await.assert_status(400);
    }
    phone.delete_account("admin").await.assert_status(204);
}
