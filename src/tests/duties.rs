//! What operators do through the API that changes no account: groups, invitations and the audit trail, on both databases.

use std::time::Duration;

use serde_json::{Value, json};
use vestibule::{
    domain::{act::Duty, group_name::GroupName, role::Role},
    error::AppError,
    mail::MailUrl,
    service::admin::{Command, GroupAction, Reply},
    store::{CheckedToken, Error, Mandate},
};

use super::permits::Person;
use crate::util::{
    App, PASSWORD,
    actors::{Client, Device},
    caller,
    macros::both,
    mail_capture::token_of,
};

both! {
    only_operators_read_groups_and_only_admins_change_them_r141,
    the_store_checks_the_role_of_a_duty_again_r141,
    groups_are_managed_through_the_api,
    only_operators_read_invitations_and_auditors_change_none_r141,
    invitations_are_managed_through_the_api_r143,
    an_invitation_sent_again_has_a_new_link_r143,
    only_operators_read_events_r141,
    events_are_filtered_and_listed_in_pages,
}

const GROUPS: &str = "/api/admin/groups/";
const INVITATIONS: &str = "/api/admin/invitations/";
const EVENTS: &str = "/api/admin/events/";

/// One account without a role, and one for each role.
async fn people(app: &App) -> Vec<(Option<Role>, Person)> {
    let mut people = Vec::new();
    for (name, role) in [
        ("person", None),
        ("auditor", Some(Role::Auditor)),
        ("helper", Some(Role::Support)),
        ("boss", Some(Role::Admin)),
    ] {
        people.push((role, app.person(name, role).await));
    }
    people
}

impl App {
    async fn group_names(&self) -> Vec<String> {
        match self.administer(Command::Group { action: GroupAction::List }).await {
            Reply::Groups { groups } => groups.into_iter().map(|group| group.name).collect(),
            other => panic!("no list: {other:?}"),
        }
    }
}

/// The events of a name, the newest first.
async fn denials(app: &App, actor: &str) -> usize {
    let query = vestibule::domain::event::EventQuery {
        person: actor.to_owned(),
        name: "operator.deny".to_owned(),
        limit: 100,
        ..Default::default()
    };
    match app.administer(Command::Events { query }).await {
        Reply::Events { events } => events.len(),
        other => panic!("no list: {other:?}"),
    }
}

async fn add_group(device: &Device, name: &str) -> String {
    let created = device.post(GROUPS, &json!({ "name": name })).await.assert_status(200).json();
    created["id"].as_str().unwrap().to_owned()
}

async fn only_operators_read_groups_and_only_admins_change_them_r141(app: App) {
    for (role, Person { device, id, .. }) in people(&app).await {
        for path in [GROUPS, "/api/admin/groups/unknown/members/"] {
            let (status, read) = (if path == GROUPS { 200 } else { 404 }, device.get(path).await);
            read.assert_status(if role.is_some() { status } else { 403 });
            app.get(path).await.assert_status(401);
        }
        for (path, body, code) in [
            (GROUPS.to_owned(), json!({ "name": "editors" }), ""),
            (format!("{GROUPS}unknown/rename/"), json!({ "name": "writers" }), "not_found"),
            (format!("{GROUPS}unknown/delete/"), json!({}), "not_found"),
        ] {
            let response = device.post(&path, &body).await;
            match role {
                Some(Role::Admin) if code.is_empty() => response.assert_status(200),
                Some(Role::Admin) => response.assert_code(code),
                _ => response.assert_status(403).assert_code("forbidden"),
            };
            app.post(&path, &body).await.assert_status(401);
        }
        let refused = matches!(role, Some(Role::Auditor | Role::Support));
        assert_eq!(denials(&app, &id).await > 0, refused, "{role:?}");
    }
    assert_eq!(app.group_names().await, ["editors"]);
}

async fn the_store_checks_the_role_of_a_duty_again_r141(app: App) {
    let boss = app.person("boss", Some(Role::Admin)).await;
    let helper = app.person("helper", Some(Role::Support)).await;
    app.person("other", Some(Role::Admin)).await;
    let session = app.service.authenticate(&helper.device.session_token()).await.unwrap();
    let actor = CheckedToken { user: helper.id.clone(), id: session.id.clone(), token_hash: session.token_hash };
    let name = GroupName::parse("editors").unwrap();
    let denied = async |duty: Duty| {
        let mandate = Mandate::Permit { actor: actor.clone(), duty };
        match app.store.add_group(&mandate, "0", &name, &app.stamp()).await {
            Err(Error::Denied(error)) => Some(error),
            Ok(_) => None,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(denied(Duty::ManageGroups).await, Some(AppError::Forbidden));
    // This check of the session precedes the demotion.
    let checked = app.service.require_operator(&boss.device.session_token()).await.unwrap();
    for who in ["boss", "helper"] {
        app.administer(Command::SetRole { who: who.to_owned(), role: None, force: false }).await;
    }
    assert_eq!(denied(Duty::Invite).await, Some(AppError::SessionEnded));
    let refused = app.service.create_group(&caller(), &checked, &name).await;
    assert_eq!(refused.map_err(AppError::from), Err(AppError::SessionEnded));
    assert_eq!(app.group_names().await, [""; 0]);
}

async fn groups_are_managed_through_the_api(app: App) {
    let boss = app.person("boss", Some(Role::Admin)).await;
    let device = &boss.device;
    let id = add_group(device, "Editors").await;
    let taken = device.post(GROUPS, &json!({ "name": "editors" })).await;
    taken.assert_status(400).assert_code("invalid").assert_contains("name");
    device.post(GROUPS, &json!({ "name": "a,b" })).await.assert_status(400).assert_code("invalid");
    device.post(GROUPS, &json!({})).await.assert_status(400).assert_code("invalid");

    let rename = async |group: &str, name: &str| {
        device.post(&format!("{GROUPS}{group}/rename/"), &json!({ "name": name })).await
    };
    rename(&id, "night/shift one").await.assert_status(200);
    rename("night%2Fshift%20one", "staff").await.assert_status(200);
    add_group(device, "others").await;
    rename("others", "STAFF").await.assert_status(400).assert_code("invalid");
    rename("018f2f3a-0000-7000-8000-000000000000", "x").await.assert_status(404);

    let mut ids = Vec::new();
    for name in ["ann", "bob", "cyd"] {
        let person = app.person(name, None).await;
        let join = format!("/api/admin/accounts/{}/join_group/", person.id);
        device.post(&join, &json!({ "name": "staff" })).await.assert_status(200);
        ids.push(person.id);
    }
    ids.sort();
    let groups = device.get(GROUPS).await.assert_status(200).json();
    assert_eq!((&groups["groups"][1]["name"], &groups["groups"][1]["members"]), (&json!("staff"), &json!(3)));
    let members = format!("{GROUPS}{id}/members/");
    let first = device.get(&format!("{members}?limit=2")).await.assert_status(200).json();
    let next = first["next"].as_str().unwrap();
    let second = device.get(&format!("{members}?limit=2&after={next}")).await.assert_status(200).json();
    assert_eq!(second["next"], Value::Null);
    let pages = [first["accounts"].as_array().unwrap().clone(), second["accounts"].as_array().unwrap().clone()];
    let listed: Vec<Value> = pages.concat().iter().map(|account| account["id"].clone()).collect();
    assert_eq!(json!(listed), json!(ids));

    let delete = format!("{GROUPS}staff/delete/");
    device.post(&delete, &json!({})).await.assert_status(409).assert_code("group_not_empty");
    device.post(&delete, &json!({ "force": true })).await.assert_status(200);
    device.post(&delete, &json!({ "force": true })).await.assert_status(404);
    assert_eq!(app.group_names().await, ["others"]);
}

async fn only_operators_read_invitations_and_auditors_change_none_r141(app: App) {
    let missing = "018f2f3a-0000-7000-8000-000000000000";
    for (role, Person { device, .. }) in people(&app).await {
        device.get(INVITATIONS).await.assert_status(if role.is_some() { 200 } else { 403 });
        app.get(INVITATIONS).await.assert_status(401);
        let may = matches!(role, Some(Role::Support | Role::Admin));
        for (path, status) in [(INVITATIONS.to_owned(), 200), (format!("{INVITATIONS}{missing}/revoke/"), 404)] {
            let response = device.post(&path, &json!({})).await;
            response.assert_status(if may { status } else { 403 });
            app.post(&path, &json!({})).await.assert_status(401);
        }
    }
}

async fn invitations_are_managed_through_the_api_r143(app: App) {
    let helper = app.person("helper", Some(Role::Support)).await;
    let device = &helper.device;
    let invite = async |body: Value| device.post(INVITATIONS, &body).await;
    let first = invite(json!({ "uses": 3, "note": "for the workshop" })).await.assert_status(200).json();
    app.clock.advance(Duration::from_secs(1));
    let second = invite(json!({ "email": "ann@example.org", "uses": 9 })).await.assert_status(200).json();
    for (body, status) in [
        (json!({ "days": 91 }), 400),
        (json!({ "uses": "1" }), 400),
        (json!({ "email": "ann" }), 400),
        (json!({ "groups": ["unknown"] }), 404),
        (json!({ "email": "helper@example.org" }), 409),
        (json!({ "send": true }), 400),
    ] {
        invite(body.clone()).await.assert_status(status);
    }
    let page = device.get(&format!("{INVITATIONS}?limit=1")).await.assert_status(200).json();
    assert_eq!((&page["invitations"][0]["id"], &page["invitations"][0]["uses_left"]), (&first["id"], &json!(3)));
    let next = page["next"].as_str().unwrap();
    let rest = device.get(&format!("{INVITATIONS}?limit=1&after={next}")).await.assert_status(200).json();
    assert_eq!((&rest["invitations"][0]["id"], &rest["next"]), (&second["id"], &Value::Null));
    assert_eq!(rest["invitations"][0]["uses"], 1, "one email has one use");

    let body = json!({
        "email": "bob@example.org", "username": "bob", "password": PASSWORD, "invitation": first["token"]
    });
    app.post("api_register/", &body).with_fresh_address().await.assert_status(200);
    let revoke = format!("{INVITATIONS}{}/revoke/", first["id"].as_str().unwrap());
    device.post(&revoke, &json!({})).await.assert_status(200);
    device.post(&revoke, &json!({})).await.assert_status(404);
    let body = json!({
        "email": "cyd@example.org", "username": "cyd", "password": PASSWORD, "invitation": first["token"]
    });
    app.post("/fn/register", &body).with_fresh_address().await.assert_status(410);
}

async fn an_invitation_sent_again_has_a_new_link_r143(app: App) {
    let app = app
        .restart_changed(|config| {
            config.mail.url = MailUrl::parse("smtp://127.0.0.1:9").unwrap();
            config.server.public_url = Some("https://accounts.example.org".parse().unwrap());
        })
        .await;
    let helper = app.person("helper", Some(Role::Support)).await;
    app.deliver().await;
    let body = json!({ "email": "ann@example.org", "send": true, "days": 1 });
    let sent = helper.device.post(INVITATIONS, &body).await.assert_status(200).json();
    assert_eq!(sent["token"], Value::Null);
    let old = token_of(&app.deliver_one().await);
    app.clock.advance(Duration::from_mins(5));
    let again = format!("{INVITATIONS}{}/send/", sent["id"].as_str().unwrap());
    let renewed = helper.device.post(&again, &json!({ "days": 3 })).await.assert_status(200).json();
    assert!(renewed["expires_at"].as_str() > sent["expires_at"].as_str());
    let mail = app.deliver_one().await;
    assert_eq!(mail.to, "ann@example.org");
    let register = async |token: &str| {
        let body = json!({
            "email": "ann@example.org", "username": "ann", "password": PASSWORD, "invitation": token
        });
        app.post("/fn/register", &body).with_fresh_address().await.status.as_u16()
    };
    assert_eq!(register(&old).await, 410);
    assert_eq!(register(&token_of(&mail)).await, 200);
    // It is used now.
    helper.device.post(&again, &json!({})).await.assert_status(404);
    let open = helper.device.post(INVITATIONS, &json!({})).await.assert_status(200).json();
    let open = format!("{INVITATIONS}{}/send/", open["id"].as_str().unwrap());
    helper.device.post(&open, &json!({})).await.assert_status(404);
    let events = helper.device.get(&format!("{EVENTS}?name=invitation.send")).await.assert_status(200).json();
    assert_eq!(events["events"].as_array().unwrap().len(), 1);
}

async fn only_operators_read_events_r141(app: App) {
    for (role, Person { device, id, .. }) in people(&app).await {
        for path in [EVENTS.to_owned(), format!("/api/admin/accounts/{id}/events/")] {
            device.get(&path).await.assert_status(if role.is_some() { 200 } else { 403 });
            app.get(&path).await.assert_status(401);
        }
    }
}

async fn events_are_filtered_and_listed_in_pages(app: App) {
    let auditor = app.person("auditor", Some(Role::Auditor)).await;
    let ann = app.person("ann", None).await;
    let list = async |query: &str| auditor.device.get(&format!("{EVENTS}?{query}")).await.assert_status(200).json();
    let names = |page: &Value| -> Vec<String> {
        page["events"].as_array().unwrap().iter().map(|event| event["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = names(&list("person=ann&limit=200").await);
    assert!(all.iter().any(|name| name == "session.start") && all.len() > 2, "{all:?}");
    let own = auditor.device.get(&format!("/api/admin/accounts/{}/events/?limit=200", ann.id)).await.json();
    assert_eq!(names(&own), all);
    let (mut walked, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("person=ann%40example.org&limit=1{after}")).await;
        walked.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(walked, all);
    let logins = list("name=session&actor=ann").await;
    assert_eq!(names(&logins), ["session.start"]);
    assert_eq!(
        (&logins["events"][0]["actor"]["name"], &logins["events"][0]["subject"]["name"]),
        (&json!("ann"), &json!("ann"))
    );
    assert_eq!(names(&list("name=session&outcome=failed").await), [""; 0]);
    assert_eq!(names(&list("to=2026-11-22").await), [""; 0]);
    assert_eq!(names(&list("person=ann&from=2026-11-22T12:00:00Z&limit=200").await), all);
    for query in ["name=odd", "outcome=odd", "from=yesterday", "after=x", "limit=x"] {
        auditor.device.get(&format!("{EVENTS}?{query}")).await.assert_status(400).assert_code("bad_request");
    }
    auditor.device.get(&format!("{EVENTS}?person=unknown")).await.assert_status(404);
    auditor.device.get("/api/admin/accounts/ann/events/").await.assert_status(404);
}
