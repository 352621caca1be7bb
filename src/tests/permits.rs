//! What operators may do with accounts through the API, on both databases.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use vestibule::{
    domain::{act::Act, role::Role},
    error::AppError,
    service::admin::{Command, GroupAction, Reply},
    store::{Authority, CheckedToken, Error},
};

use super::repository::{root, sources};
use crate::util::{
    App, PASSWORD, Request,
    actors::{Client, Device, User},
    caller,
    macros::both,
};

both! {
    rights_follow_from_the_role_the_act_and_the_target_r141,
    only_a_recent_password_in_a_session_opens_an_act_r47_r141,
    the_store_checks_both_roles_again_r141,
    a_demoted_operator_is_refused_at_once_r141,
    two_admins_who_change_each_other_leave_one_r141,
    the_acts_of_operators_have_their_effect,
    an_operator_gives_a_role_only_to_a_confirmed_email_r141,
    the_page_has_the_rights_of_the_api_r141,
}

/// An account with a session.
pub struct Person {
    pub user: User,
    pub device: Device,
    pub id: String,
}

impl App {
    pub async fn person(&self, name: &str, role: Option<Role>) -> Person {
        let user = self.register(name).await;
        self.administer(Command::Confirm { who: name.to_owned() }).await;
        let given = self.administer(Command::SetRole { who: name.to_owned(), role, force: false }).await;
        assert!(matches!(given, Reply::Done { .. } | Reply::RoleUnchanged { .. }), "{given:?}");
        let device = user.log_in().await;
        let id = device.me().await["id"].as_str().unwrap().to_owned();
        Person { user, device, id }
    }

    async fn add_editors(&self) {
        let action = GroupAction::Add { name: "editors".to_owned() };
        self.administer(Command::Group { action }).await;
    }
}

impl Device {
    fn act(&self, path: &str, target: &Person) -> Request {
        self.act_on(path, &target.id, &target.user.name)
    }

    fn act_on(&self, path: &str, id: &str, name: &str) -> Request {
        let body = match path {
            "join_group" | "leave_group" => json!({ "name": "editors" }),
            "change_username" => json!({ "username": format!("{name}-2") }),
            "change_role" => json!({ "role": "auditor" }),
            "delete" => json!({ "username": name }),
            _ => json!({}),
        };
        self.post(&format!("/api/admin/accounts/{id}/{path}/"), &body)
    }
}

/// The calls that change an account, and whether support may make them.
const ACTS: [(&str, bool); 12] = [
    ("disable", true),
    ("enable", true),
    ("approve", true),
    ("decline", true),
    ("end_sessions", true),
    ("revoke_tokens", true),
    ("mail_password_link", true),
    ("join_group", true),
    ("leave_group", true),
    ("change_username", false),
    ("change_role", false),
    ("delete", false),
];

async fn rights_follow_from_the_role_the_act_and_the_target_r141(app: App) {
    app.add_editors().await;
    let mut actors = Vec::new();
    for (name, role) in [
        ("person", None),
        ("auditor", Some(Role::Auditor)),
        ("helper", Some(Role::Support)),
        ("boss", Some(Role::Admin)),
    ] {
        actors.push((role, app.person(name, role).await));
    }
    let missing = "018f2f3a-0000-7000-8000-000000000000";
    for (number, (path, for_support)) in ACTS.into_iter().enumerate() {
        for (role, actor) in &actors {
            let name = |kind: &str| format!("{kind}{number}{}", role.map_or("none", Role::name));
            let plain = app.person(&name("plain"), None).await;
            let operator = app.person(&name("op"), Some(Role::Auditor)).await;
            let may = *role == Some(Role::Admin) || *role == Some(Role::Support) && for_support;
            let expect = |code: &'static str| if may { code } else { "forbidden" };
            // This account doesn't wait for approval.
            let done = if path == "decline" { "not_pending" } else { "" };
            let outranked = if *role == Some(Role::Admin) { done } else { "outranked" };
            for (request, expected) in [
                (actor.device.act_on(path, missing, "x"), expect("not_found")),
                (actor.device.act(path, actor), expect("own_account")),
                (actor.device.act(path, &operator), expect(outranked)),
                (actor.device.act(path, &plain), expect(done)),
            ] {
                let response = request.await;
                let code = if response.status == 200 { String::new() } else { response.code() };
                assert_eq!(code, expected, "{path} by {role:?}: {}", response.text);
            }
            if !may {
                plain.device.assert_logged_in().await;
            }
        }
    }
}

async fn only_a_recent_password_in_a_session_opens_an_act_r47_r141(app: App) {
    app.add_editors().await;
    let mut boss = app.person("boss", Some(Role::Admin)).await;
    let target = app.person("ann", None).await;
    let script = boss.device.create_access_token("a script", "full").await;
    let list = "/api/admin/accounts/";
    script.get(list).await.assert_status(403).assert_code("session_required");
    boss.device.get(list).await.assert_status(200);
    app.clock.advance(Duration::from_mins(10));
    for (path, _) in ACTS {
        let call = format!("/api/admin/accounts/{}/{path}/", target.id);
        app.post(&call, &json!({})).await.assert_status(401);
        script.post(&call, &json!({})).await.assert_status(403).assert_code("session_required");
        boss.device.act(path, &target).await.assert_status(403).assert_code("reauth_required");
    }
    boss.device.get(list).await.assert_status(200);
    boss.device.confirm_password().await;
    boss.device.act("disable", &target).await.assert_status(200);
}

async fn the_store_checks_both_roles_again_r141(app: App) {
    let target = app.person("ann", None).await;
    let operator = app.person("oper", Some(Role::Auditor)).await;
    let helper = app.person("helper", Some(Role::Support)).await;
    let session = app.service.authenticate(&helper.device.session_token()).await.unwrap();
    let checked = CheckedToken { user: helper.id.clone(), id: session.id.clone(), token_hash: session.token_hash };
    let denied = async |act: Act, user: &str| {
        let authority = Authority::Permit { actor: checked.clone(), act, user: user.to_owned() };
        match app.store.disable_user(authority, false, app.stamp()).await {
            Err(Error::Denied(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(denied(Act::Disable, &operator.id).await, AppError::Outranked);
    assert_eq!(denied(Act::Disable, &helper.id).await, AppError::OwnAccount);
    assert_eq!(denied(Act::Delete, &target.id).await, AppError::Forbidden);
    assert_eq!(denied(Act::Disable, "unknown").await, AppError::NotFound);
    let demote = Command::SetRole { who: "helper".to_owned(), role: None, force: false };
    app.administer(demote).await;
    assert_eq!(denied(Act::Disable, &target.id).await, AppError::SessionEnded);
    for person in [&target, &operator] {
        person.device.assert_logged_in().await;
    }
}

async fn a_demoted_operator_is_refused_at_once_r141(app: App) {
    let (boss, other) = (app.person("boss", Some(Role::Admin)).await, app.person("other", Some(Role::Admin)).await);
    let target = app.person("ann", None).await;
    // This check of the session precedes the demotion.
    let checked = app.service.require_operator(&other.device.session_token()).await.unwrap();
    let body = json!({ "role": null });
    let path = format!("/api/admin/accounts/{}/change_role/", other.id);
    assert_eq!(boss.device.post(&path, &body).await.assert_status(200).json()["sessions_ended"], 1);
    let refused = app.service.disable_account(&caller(), &checked, &target.id).await;
    assert_eq!(refused.map_err(AppError::from), Err(AppError::SessionEnded));
    other.device.act("disable", &target).await.assert_status(401);
    let other = other.user.log_in().await;
    other.act("disable", &target).await.assert_status(403).assert_code("forbidden");
    other.get("/api/admin/accounts/").await.assert_status(403).assert_code("forbidden");
    target.device.assert_logged_in().await;
}

async fn two_admins_who_change_each_other_leave_one_r141(app: App) {
    for round in 0..10 {
        let path = if round % 2 == 0 { "disable" } else { "change_role" };
        let first = app.person(&format!("first{round}"), Some(Role::Admin)).await;
        let second = app.person(&format!("second{round}"), Some(Role::Admin)).await;
        let answers = join_all([first.device.act(path, &second).send(), second.device.act(path, &first).send()]).await;
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(done, 1, "{answers:?}");
        let left = if answers[0].status == 200 { first } else { second };
        left.device.assert_logged_in().await;
        let delete = Command::Delete { who: left.user.name, force: true };
        assert!(matches!(app.administer(delete).await, Reply::Done { .. }));
    }
}

async fn the_acts_of_operators_have_their_effect(app: App) {
    app.add_editors().await;
    let boss = app.person("boss", Some(Role::Admin)).await;
    let ann = app.person("ann", None).await;
    let script = ann.device.create_access_token("a script", "full").await;
    app.deliver().await;
    let act = async |path: &str| boss.device.act(path, &ann).await.assert_status(200).json();

    act("join_group").await;
    assert_eq!(ann.device.me().await["groups"], json!(["editors"]));
    act("leave_group").await;
    assert_eq!(ann.device.me().await["groups"], json!([]));
    let unknown = format!("/api/admin/accounts/{}/join_group/", ann.id);
    boss.device.post(&unknown, &json!({ "name": "unknown" })).await.assert_status(404);
    assert_eq!(act("revoke_tokens").await["tokens_revoked"], 1);
    script.assert_logged_out().await;
    ann.device.assert_logged_in().await;
    assert_eq!(act("end_sessions").await["sessions_ended"], 1);
    ann.device.assert_logged_out().await;
    act("mail_password_link").await;
    let mail = app.deliver_one().await;
    assert_eq!((mail.to, mail.subject), (ann.user.email(), "Choose a new password for Vestibule".to_owned()));

    act("disable").await;
    ann.user.assert_cannot_log_in(PASSWORD).await;
    act("enable").await;
    let device = ann.user.log_in().await;
    act("change_username").await;
    assert_eq!(device.me().await["username"], "ann-2");
    assert_eq!(act("change_role").await["sessions_ended"], 1);
    assert_eq!(app.user("ann-2").log_in().await.me().await["role"], "auditor");
    let path = format!("/api/admin/accounts/{}/change_role/", ann.id);
    boss.device.post(&path, &json!({})).await.assert_status(400).assert_code("bad_request");
    boss.device.post(&path, &json!({ "role": "owner" })).await.assert_status(400);
    boss.device.post(&path, &json!({ "role": Value::Null })).await.assert_status(200);
    boss.device.act("delete", &ann).await.assert_status(400).assert_contains("not the username");
    let renamed = boss.device.act_on("delete", &ann.id, "ann-2").await;
    renamed.assert_status(200);
    app.user("ann-2").assert_cannot_log_in(PASSWORD).await;
    boss.device.act("disable", &ann).await.assert_status(404);
}

async fn an_operator_gives_a_role_only_to_a_confirmed_email_r141(app: App) {
    let boss = app.person("boss", Some(Role::Admin)).await;
    let ann = app.register("ann").await.log_in().await;
    let id = ann.me().await["id"].as_str().unwrap().to_owned();
    boss.device.act_on("change_role", &id, "ann").await.assert_status(403).assert_code("email_unverified");
    ann.assert_logged_in().await;
}

/// The page's functions that read, and those that change, with their arguments.
fn functions(target: &Person) -> [Vec<(&'static str, Value)>; 2] {
    let (id, name) = (&target.id, &target.user.name);
    let acts = ["approve", "mail_password_link", "revoke_tokens", "end_sessions", "disable", "enable"];
    let acts = acts.map(|act| ("act_on_account", json!({ "id": id, "act": act })));
    [
        vec![
            ("list_accounts", json!({ "query": { "search": name } })),
            ("list_group_names", json!({})),
            ("show_account", json!({ "id": id })),
            ("account_history", json!({ "id": id, "before": "" })),
        ],
        acts.into_iter()
            .chain([
                ("change_group", json!({ "id": id, "name": "editors", "joins": true })),
                ("rename_account", json!({ "id": id, "username": format!("{name}-2") })),
                ("change_role", json!({ "id": id, "role": "auditor" })),
                ("delete_account_of", json!({ "id": id, "username": format!("{name}-2") })),
            ])
            .collect(),
    ]
}

async fn the_page_has_the_rights_of_the_api_r141(app: App) {
    app.add_editors().await;
    let ann = app.person("ann", None).await;
    let [reads, changes] = functions(&ann);
    let all = || reads.iter().chain(&changes);
    for (function, body) in all() {
        ann.device.call(function, body).await.assert_status(403).assert_contains("forbidden");
    }
    let auditor = app.person("audrey", Some(Role::Auditor)).await;
    let refused = changes.iter().map(|change| (change, 403));
    for ((function, body), status) in reads.iter().map(|read| (read, 200)).chain(refused) {
        auditor.device.call(function, body).await.assert_status(status);
    }
    let boss = app.person("boss", Some(Role::Admin)).await;
    for (function, body) in all() {
        boss.device.call(function, body).await.assert_status(200);
    }
    let history = auditor.device.call("account_history", &json!({ "id": ann.id, "before": "" })).await.json();
    let lines = history["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap());
    let lines: Vec<&str> = lines.collect();
    for text in
        ["boss disabled the account.", "boss added the account to the group editors.", "The account was created."]
    {
        assert!(lines.contains(&text), "{text}: {lines:?}");
    }
    for (function, body) in
        [("show_account", json!({ "id": "x" })), ("account_history", json!({ "id": "x", "before": "" }))]
    {
        auditor.device.call(function, &body).await.assert_status(404);
    }
    auditor.device.call("list_accounts", &json!({ "query": { "sort": "age" } })).await.assert_status(400);
}

#[test]
fn a_permit_is_made_in_one_place_r141() {
    let src = root().join("src");
    let tests = src.join("tests");
    let mut makers = Vec::new();
    for path in sources(&src).into_iter().filter(|path| !path.starts_with(&tests)) {
        let code = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&src).unwrap().display().to_string();
        for made in ["Ok(Permit {", "Self::Permit {", "Authority::Permit {"] {
            makers.extend(std::iter::repeat_n((name.clone(), made), code.matches(made).count()));
        }
    }
    makers.sort();
    // The store only takes it apart.
    let expected = [
        ("service/permit.rs", "Authority::Permit {"),
        ("service/permit.rs", "Ok(Permit {"),
        ("store/authority.rs", "Authority::Permit {"),
        ("store/authority.rs", "Self::Permit {"),
    ];
    assert_eq!(makers, expected.map(|(file, made)| (file.to_owned(), made)));
}
