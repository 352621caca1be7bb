//! Groups of accounts, on both databases.

use futures_util::future::join_all;
use serde_json::{Value, json};
use vestibule::{
    error::{AppError, Field, Problem},
    service::admin::{Command, GroupAction, Reply},
};

use crate::util::{
    App,
    actors::{Client, User},
    macros::both,
};

both! {
    an_account_has_the_groups_that_it_joined,
    apps_see_a_renamed_or_deleted_group_at_once,
    a_group_with_members_is_deleted_only_by_force,
    a_name_belongs_to_one_group_in_any_case,
    a_deleted_account_leaves_its_groups,
    the_members_of_a_group_are_listed_in_pages,
    a_group_is_deleted_while_accounts_join_it,
}

impl App {
    async fn group(&self, action: GroupAction) -> Reply {
        self.administer(Command::Group { action }).await
    }

    /// Creates a group.
    async fn add_group(&self, name: &str) {
        let reply = self.group(GroupAction::Add { name: name.to_owned() }).await;
        assert_eq!(reply, Reply::Group { name: name.to_owned() });
    }

    async fn join(&self, name: &str, user: &User) -> Reply {
        self.group(GroupAction::Join { name: name.to_owned(), who: user.name.clone() }).await
    }

    async fn leave(&self, name: &str, user: &User) -> Reply {
        self.group(GroupAction::Leave { name: name.to_owned(), who: user.name.clone() }).await
    }

    async fn rename_group(&self, name: &str, new: &str) -> Reply {
        self.group(GroupAction::Rename { name: name.to_owned(), new: new.to_owned() }).await
    }

    async fn delete_group(&self, name: &str, force: bool) -> Reply {
        self.group(GroupAction::Delete { name: name.to_owned(), force }).await
    }

    /// The names and the numbers of members of all groups.
    async fn groups(&self) -> Vec<(String, i64)> {
        let Reply::Groups { groups } = self.group(GroupAction::List).await else { panic!("no list") };
        groups.into_iter().map(|group| (group.name, group.members)).collect()
    }

    async fn members(&self, name: &str, after: &str) -> Vec<(String, String)> {
        let action = GroupAction::ListMembers { name: name.to_owned(), after: after.to_owned() };
        let Reply::Users { users } = self.group(action).await else { panic!("no list") };
        users.into_iter().map(|line| (line.account.id, line.account.username)).collect()
    }
}

async fn groups_of(client: &impl Client) -> Value {
    client.me().await["groups"].clone()
}

fn member(user: &User, group: &str) -> Reply {
    Reply::Member { username: user.name.clone(), group: group.to_owned() }
}

async fn an_account_has_the_groups_that_it_joined(app: App) {
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let (phone, other) = (ann.log_in().await, bob.log_in().await);
    let script = phone.create_access_token("backup", "read").await;
    assert_eq!(groups_of(&phone).await, json!([]));
    for name in ["Writers", "editors/night"] {
        app.add_group(name).await;
        // Any spelling of the name, and any number of times.
        for spelling in [name.to_owned(), name.to_uppercase()] {
            assert_eq!(app.join(&spelling, &ann).await, member(&ann, name));
        }
    }
    assert_eq!(groups_of(&phone).await, json!(["editors/night", "Writers"]));
    assert_eq!(groups_of(&script).await, json!(["editors/night", "Writers"]));
    assert_eq!(groups_of(&other).await, json!([]));
    assert_eq!(app.groups().await, [("editors/night".to_owned(), 1), ("Writers".to_owned(), 1)]);
    for _ in 0..2 {
        assert_eq!(app.leave("writers", &ann).await, member(&ann, "Writers"));
    }
    assert_eq!(groups_of(&phone).await, json!(["editors/night"]));
    assert_eq!(app.join("unknown", &ann).await, Reply::NoSuchGroup);
    assert_eq!(app.leave("unknown", &ann).await, Reply::NoSuchGroup);
    assert_eq!(app.join("writers", &app.user("unknown")).await, Reply::NoSuchUser);
}

async fn apps_see_a_renamed_or_deleted_group_at_once(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    app.add_group("editors").await;
    app.join("editors", &ann).await;
    assert_eq!(groups_of(&phone).await, json!(["editors"]));
    app.rename_group("editors", "Staff").await;
    assert_eq!(groups_of(&phone).await, json!(["Staff"]));
    app.delete_group("staff", true).await;
    assert_eq!(groups_of(&phone).await, json!([]));
    assert_eq!(app.rename_group("staff", "other").await, Reply::NoSuchGroup);
    assert_eq!(app.delete_group("staff", true).await, Reply::NoSuchGroup);
}

async fn a_group_with_members_is_deleted_only_by_force(app: App) {
    let ann = app.register("ann").await;
    app.add_group("editors").await;
    app.join("editors", &ann).await;
    assert_eq!(app.delete_group("editors", false).await, Reply::GroupNotEmpty { members: 1 });
    assert_eq!(app.groups().await, [("editors".to_owned(), 1)]);
    assert_eq!(app.delete_group("editors", true).await, Reply::Group { name: "editors".to_owned() });
    app.add_group("editors").await;
    assert_eq!(app.delete_group("editors", false).await, Reply::Group { name: "editors".to_owned() });
    assert_eq!(app.groups().await, []);
}

async fn a_name_belongs_to_one_group_in_any_case(app: App) {
    let refused = |problem| Reply::Refused { error: AppError::invalid(Field::Name, problem) };
    app.add_group("Editors").await;
    app.add_group("writers").await;
    for name in ["Editors", "EDITORS", " editors "] {
        let reply = app.group(GroupAction::Add { name: name.to_owned() }).await;
        assert_eq!(reply, refused(Problem::GroupNameTaken), "{name}");
    }
    assert_eq!(app.rename_group("writers", "editors").await, refused(Problem::GroupNameTaken));
    assert_eq!(app.rename_group("writers", "a,b").await, refused(Problem::GroupNameCharacter));
    let renamed = Reply::Group { name: "EDITORS".to_owned() };
    assert_eq!(app.rename_group("editors", "EDITORS").await, renamed);
    assert_eq!(app.groups().await, [("EDITORS".to_owned(), 0), ("writers".to_owned(), 0)]);
}

async fn a_deleted_account_leaves_its_groups(app: App) {
    let ann = app.register("ann").await;
    app.add_group("editors").await;
    app.join("editors", &ann).await;
    ann.log_in().await.delete_account("ann").await.assert_status(204);
    assert_eq!(app.groups().await, [("editors".to_owned(), 0)]);
    let phone = app.register("ann").await.log_in().await;
    assert_eq!(groups_of(&phone).await, json!([]));
}

async fn the_members_of_a_group_are_listed_in_pages(app: App) {
    app.add_group("editors").await;
    for name in ["ann", "bob", "eve"] {
        let user = app.register(name).await;
        if name != "bob" {
            app.join("editors", &user).await;
        }
    }
    let all = app.members("editors", "").await;
    let mut names: Vec<_> = all.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(app.members("editors", &all[0].0).await, all[1..]);
    names.sort_unstable();
    assert_eq!(names, ["ann", "eve"]);
}

async fn a_group_is_deleted_while_accounts_join_it(app: App) {
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(app.register(&format!("user{number}")).await);
    }
    for _ in 0..5 {
        app.add_group("editors").await;
        let joining = join_all(users.iter().map(|user| app.join("editors", user)));
        let (joined, deleted) = tokio::join!(joining, app.delete_group("editors", true));
        assert!(matches!(deleted, Reply::Group { .. }), "{deleted:?}");
        for (user, reply) in users.iter().zip(joined) {
            assert!(reply == member(user, "editors") || reply == Reply::NoSuchGroup, "{reply:?}");
        }
        assert_eq!(app.groups().await, []);
    }
}
