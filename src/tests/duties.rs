//! What operators do through the API that changes no account: groups, invitations and the audit trail, on both databases.

use serde_json::{Value, json};
use vestibule::{
    domain::{act::Duty, group_name::GroupName, role::Role},
    error::AppError,
    service::admin::{Command, GroupAction, Reply},
    store::{CheckedToken, Error, Mandate},
};

use super::permits::Person;
use crate::util::{
    App,
    actors::{Client, Device},
    caller,
    macros::both,
};

both! {
    only_operators_read_groups_and_only_admins_change_them_r141,
    the_store_checks_the_role_of_a_duty_again_r141,
    groups_are_managed_through_the_api,
    only_operators_read_events_r141,
    events_are_filtered_and_listed_in_pages,
}

const GROUPS: &str = "/api/admin/groups/";
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
