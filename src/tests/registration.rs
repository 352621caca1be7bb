//! Who may register, and which emails accounts may have, through every entry point.

use serde_json::{Value, json};
use vestibule::{
    domain::email_domain::EmailDomain,
    server::config::Config,
    service::{
        RegistrationMode,
        admin::{Command, Reply},
    },
};

use crate::{
    on_both,
    util::{App, Backend, PASSWORD, Response, mail_capture::token_of, some_address},
};

const REGISTER: [&str; 2] = ["/api/accounts/api_register/", "/fn/register"];
const CHANGE_EMAIL: [&str; 2] = ["/api/accounts/change_email/", "/fn/change_email"];
const CONFIRM_EMAIL: &str = "/api/accounts/confirm_email/";
const UNDO_EMAIL: &str = "/api/accounts/undo_email/";

impl App {
    async fn post_from_anywhere(&self, path: &str, body: Value) -> Response {
        self.post(path, &body).from(&some_address()).send().await
    }

    async fn add(&self, email: &str, username: &str) -> Reply {
        let (email, username, password) = (email.to_owned(), username.to_owned(), PASSWORD.to_owned());
        self.service.administer(Command::Add { email, username, password }).await
    }

    async fn accounts(&self) -> usize {
        self.store.list_users("", 100).await.unwrap().len()
    }
}

fn close(config: &mut Config) {
    config.registration.mode = RegistrationMode::Closed;
}

fn domains(texts: &[&str]) -> Vec<EmailDomain> {
    texts.iter().map(|text| EmailDomain::parse(text).unwrap()).collect()
}

on_both! {
    async fn closed_registration_is_closed_at_every_way_in_but_the_operators_r10(app: App) {
        let app = app.restart_changed(close).await;
        let good = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD });
        for body in [good, json!({ "email": "", "username": "", "password": "" })] {
            let [api, page] = REGISTER.map(|path| app.post_from_anywhere(path, body.clone()));
            let (api, page) = (api.await, page.await);
            assert_eq!((api.status.as_u16(), page.status.as_u16()), (403, 403));
            let sentence = "Registration is closed. Ask the operator of this service for an account.";
            assert_eq!(api.json(), json!({ "status": "fail", "errors": { "account": [sentence] } }));
            assert_eq!(page.json(), json!("registration_closed"));
        }
        assert_eq!(app.accounts().await, 0);
        assert!(matches!(app.add("ann@example.org", "ann").await, Reply::Added { .. }));
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200, "existing accounts still work");
    }
}

on_both! {
    async fn the_page_offers_registration_only_while_it_is_open_r10(app: App) {
        let offers = async |app: &App, path: &str| {
            let html = app.get(path).send().await.text;
            (html.contains("href=\"/register\""), html.contains("<option value=\"/register\""), html)
        };
        let (link, option, _) = offers(&app, "/login").await;
        assert!(link && option);
        assert!(app.get("/register").send().await.text.contains("<form"));
        let app = app.restart_changed(close).await;
        for path in ["/login", "/nothing", "/forgot", "/verify"] {
            let (link, option, _) = offers(&app, path).await;
            assert!(!link && !option, "{path}");
        }
        let (link, option, html) = offers(&app, "/register").await;
        assert!(html.contains("Registration is closed") && !html.contains("<form"), "{html}");
        assert!(!link && !option);
    }
}

on_both! {
    async fn only_the_domains_that_are_allowed_register_and_are_moved_to_r10(app: App) {
        let app = app.restart_changed(|config| config.registration.allowed_domains = domains(&["example.org", "bücher.example"])).await;
        let said = "Use an email address of example.org or xn--bcher-kva.example.";
        for (at, email) in ["eve@example.com", "eve@notexample.org", "eve@example.org.net"].iter().enumerate() {
            let body = json!({ "email": email, "username": format!("eve{at}"), "password": "" });
            let api = app.post_from_anywhere(REGISTER[0], body.clone()).await;
            assert_eq!((api.status.as_u16(), &api.json()["errors"]["email"]), (400, &json!([said])), "{email}");
            assert!(api.json()["errors"]["password"].is_array(), "beside the other errors");
            assert_eq!(app.post_from_anywhere(REGISTER[1], body).await.status, 400, "{email}");
        }
        for (at, email) in ["ann@example.org", "ann@mail.EXAMPLE.org", "ann@BÜCHER.example"].iter().enumerate() {
            let body = json!({ "email": email, "username": format!("ann{at}"), "password": PASSWORD });
            let answer = app.post_from_anywhere(REGISTER[at % 2], body).await;
            assert_eq!(answer.status, 200, "{email}: {}", answer.text);
        }
        app.deliver().await;
        let token = app.token("ann0").await;
        for path in CHANGE_EMAIL {
            let answer = app.ask("POST", path, &token, &json!({ "new_email": "ann@example.com" })).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.text);
            assert!(answer.text.contains("example.org"), "{}", answer.text);
        }
        assert!(app.deliver().await.is_empty(), "no mail is sent there");
        assert!(matches!(app.add("guest@example.com", "guest").await, Reply::Added { .. }), "the operator may add it");
    }
}

on_both! {
    async fn the_domains_that_are_denied_neither_register_nor_are_moved_to_r10(app: App) {
        let app = app.restart_changed(|config| config.registration.denied_domains = domains(&["mailinator.com"])).await;
        app.register("ann").await;
        app.deliver().await;
        let body = json!({ "email": "eve@x.Mailinator.com", "username": "eve", "password": PASSWORD });
        let api = app.post_from_anywhere(REGISTER[0], body.clone()).await;
        let said = "This email provider can't be used here. Use another email address.";
        assert_eq!((api.status.as_u16(), &api.json()["errors"]["email"]), (400, &json!([said])));
        assert_eq!(app.post_from_anywhere(REGISTER[1], body).await.status, 400);
        let token = app.token("ann").await;
        let request = json!({ "new_email": "ann@mailinator.com" });
        let moved = app.ask("POST", CHANGE_EMAIL[0], &token, &request).await;
        assert_eq!(&moved.json()["errors"]["new_email"], &json!([said]));
        assert_eq!(app.accounts().await, 1);
    }
}

on_both! {
    async fn a_domain_that_is_denied_later_is_not_moved_to_by_an_older_link_r10(app: App) {
        app.register("ann").await;
        let verify = json!({ "token": token_of(&app.deliver_one().await), "password": PASSWORD });
        assert_eq!(app.post_from_anywhere("/api/accounts/verify_email/", verify).await.status, 200);
        let token = app.token("ann").await;
        let link_to = async |app: &App, email: &str| {
            let asked = app.ask("POST", CHANGE_EMAIL[0], &token, &json!({ "new_email": email })).await;
            assert_eq!(asked.status, 200, "{}", asked.text);
            token_of(&app.deliver_one().await)
        };
        let link = link_to(&app, "ann@example.com").await;
        let follow = |link: &str| json!({ "token": link, "password": PASSWORD });
        let app = app.restart_changed(|config| config.registration.denied_domains = domains(&["example.com"])).await;
        assert_eq!(app.post_from_anywhere("/fn/check_link", json!({ "token": link })).await.json(), json!(false));
        assert_eq!(app.post_from_anywhere(CONFIRM_EMAIL, follow(&link)).await.status, 410);
        let link = link_to(&app, "ann@example.net").await;
        assert_eq!(app.post_from_anywhere(CONFIRM_EMAIL, follow(&link)).await.status, 200);
        let undo = token_of(&app.deliver_one().await);
        let app = app.restart_changed(|config| config.registration.denied_domains = domains(&["example.org"])).await;
        let undone = json!({ "token": undo, "new_password": "walrus orchard lantern" });
        assert_eq!(app.post_from_anywhere(UNDO_EMAIL, undone).await.status, 200, "an intruder's change can still be undone");
    }
}

on_both! {
    async fn the_operator_gives_reserved_names_and_nobody_else_takes_one_r4(app: App) {
        assert!(matches!(app.add("ann@example.org", "Admin").await, Reply::Added { .. }));
        let token = app.token("admin").await;
        let new = "walrus orchard lantern";
        let change = json!({ "current_password": PASSWORD, "new_password": new });
        let changed = app.ask("POST", "/api/accounts/change_password/", &token, &change).await;
        assert_eq!(changed.status, 200, "its owner has the same rights as all others: {}", changed.text);
        let token = changed.json()["token"].as_str().unwrap().to_owned();
        for (path, status) in [("/api/accounts/change_username/", 400), ("/fn/change_username", 400)] {
            let answer = app.ask("POST", path, &token, &json!({ "username": "root" })).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text);
        }
        let body = json!({ "email": "eve@example.org", "username": "root", "password": PASSWORD });
        for path in REGISTER {
            assert_eq!(app.post_from_anywhere(path, body.clone()).await.status, 400, "{path}");
        }
        let gone = app.ask("POST", "/api/accounts/delete/", &token, &json!({ "username": "admin" })).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
}
