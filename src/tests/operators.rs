//! Operators: accounts with a role, on both databases.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use vestibule::{
    domain::role::Role,
    error::AppError,
    service::admin::{Command, Reply},
};

use crate::util::{
    App, PASSWORD,
    actors::{Client, User},
    macros::both,
};

both! {
    me_returns_the_role_and_a_new_one_revokes_all_tokens_r141,
    the_first_registrant_has_no_role_r9,
    nobody_removes_the_last_admin_r141,
    a_disabled_admin_can_be_removed_r141,
    the_last_admin_can_be_removed_by_force,
    two_admins_cannot_demote_each_other_r141,
    only_an_account_with_a_confirmed_email_gets_a_role_r141,
    two_admins_cannot_delete_each_other_r141,
    the_operators_are_listed_without_other_accounts,
    the_owner_and_all_other_admins_are_notified_of_a_role,
}

impl App {
    async fn run(&self, command: Command) -> Reply {
        self.administer(command).await
    }

    async fn set_role(&self, user: &User, role: Option<Role>) -> Reply {
        self.run(Command::SetRole { who: user.name.clone(), role, force: false }).await
    }

    /// Registers an account with a confirmed email.
    async fn register_confirmed_by_operator(&self, name: &str) -> User {
        let user = self.register(name).await;
        assert_eq!(self.run(Command::Confirm { who: name.to_owned() }).await, done(&user, 0));
        user
    }

    /// Registers an account that gets a role.
    async fn operator(&self, name: &str, role: Role) -> User {
        let user = self.register_confirmed_by_operator(name).await;
        assert_eq!(self.set_role(&user, Some(role)).await, done(&user, 0));
        user
    }
}

fn done(user: &User, sessions: u64) -> Reply {
    Reply::Done { username: user.name.clone(), sessions }
}

fn unchanged(user: &User) -> Reply {
    Reply::RoleUnchanged { username: user.name.clone() }
}

fn last_admin() -> Reply {
    Reply::Refused { error: AppError::LastAdmin }
}

async fn role_of(client: &impl Client) -> Value {
    client.me().await["role"].clone()
}

async fn me_returns_the_role_and_a_new_one_revokes_all_tokens_r141(app: App) {
    app.operator("bob", Role::Admin).await;
    let ann = app.register_confirmed_by_operator("ann").await;
    assert_eq!(role_of(&ann.log_in().await).await, Value::Null);
    for role in [Some(Role::Admin), Some(Role::Support), Some(Role::Auditor), None] {
        let phone = ann.log_in().await;
        let script = phone.create_access_token("backup", "full").await;
        assert!(matches!(app.set_role(&ann, role).await, Reply::Done { sessions: 1.., .. }));
        phone.assert_logged_out().await;
        script.assert_logged_out().await;
        let phone = ann.log_in().await;
        let script = phone.create_access_token("backup", "read").await;
        let name = role.map_or(Value::Null, |role| role.name().into());
        assert_eq!((role_of(&phone).await, role_of(&script).await), (name.clone(), name));
    }
}

async fn the_first_registrant_has_no_role_r9(app: App) {
    let phone = app.register("ann").await.log_in().await;
    assert_eq!(role_of(&phone).await, Value::Null);
    assert_eq!(app.run(Command::ListOperators).await, Reply::Users { users: Vec::new() });
}

async fn nobody_removes_the_last_admin_r141(app: App) {
    let (ann, bob) = (app.operator("ann", Role::Admin).await, app.operator("bob", Role::Admin).await);
    app.operator("eve", Role::Support).await;
    // A disabled admin doesn't count.
    assert_eq!(app.run(Command::Disable { who: bob.name.clone(), force: false }).await, done(&bob, 0));
    let phone = ann.log_in().await;
    phone.delete_account("ann").await.assert_status(409).assert_code("last_admin");
    assert_eq!(app.run(Command::Disable { who: ann.name.clone(), force: false }).await, last_admin());
    assert_eq!(app.run(Command::Delete { who: ann.name.clone(), force: false }).await, last_admin());
    for role in [Some(Role::Support), Some(Role::Auditor), None] {
        assert_eq!(app.set_role(&ann, role).await, last_admin());
    }
    phone.assert_logged_in().await;
    assert_eq!(app.set_role(&ann, Some(Role::Admin)).await, unchanged(&ann));
    phone.assert_logged_in().await;

    app.run(Command::Enable { who: bob.name.clone() }).await;
    phone.delete_account("ann").await.assert_status(204);
    assert_eq!(app.run(Command::Delete { who: bob.name.clone(), force: false }).await, last_admin());
}

async fn a_disabled_admin_can_be_removed_r141(app: App) {
    let ann = app.operator("ann", Role::Admin).await;
    app.run(Command::Disable { who: ann.name.clone(), force: true }).await;
    let bob = app.operator("bob", Role::Admin).await;
    app.run(Command::Disable { who: bob.name.clone(), force: true }).await;
    assert_eq!(app.set_role(&ann, None).await, done(&ann, 0));
    assert_eq!(app.run(Command::Delete { who: bob.name.clone(), force: false }).await, done(&bob, 0));
}

async fn the_last_admin_can_be_removed_by_force(app: App) {
    let forced: [fn(String) -> Command; 3] = [
        |who| Command::SetRole { who, role: None, force: true },
        |who| Command::Disable { who, force: true },
        |who| Command::Delete { who, force: true },
    ];
    for command in forced {
        let ann = app.user("ann");
        app.run(Command::Delete { who: ann.name.clone(), force: true }).await;
        app.operator("ann", Role::Admin).await;
        assert_eq!(app.run(command(ann.name.clone())).await, done(&ann, 0));
    }
}

async fn two_admins_cannot_demote_each_other_r141(app: App) {
    let admins = [app.operator("ann", Role::Admin).await, app.operator("bob", Role::Admin).await];
    let changes: [fn(String) -> Command; 2] =
        [|who| Command::SetRole { who, role: None, force: false }, |who| Command::Disable { who, force: false }];
    for _ in 0..10 {
        let both = changes.iter().zip(&admins).map(|(change, admin)| app.run(change(admin.name.clone())));
        let refused = join_all(both).await.into_iter().filter(|reply| *reply == last_admin()).count();
        assert_eq!(refused, 1, "one of them remains");
        for admin in &admins {
            app.run(Command::Enable { who: admin.name.clone() }).await;
            app.set_role(admin, Some(Role::Admin)).await;
        }
    }
}

async fn only_an_account_with_a_confirmed_email_gets_a_role_r141(app: App) {
    let ann = app.register("ann").await;
    let refused = Reply::Refused { error: AppError::EmailUnverified };
    assert_eq!(app.set_role(&ann, Some(Role::Auditor)).await, refused);
    assert_eq!(app.set_role(&ann, None).await, unchanged(&ann));
    app.run(Command::Confirm { who: ann.name.clone() }).await;
    assert_eq!(app.set_role(&ann, Some(Role::Auditor)).await, done(&ann, 0));
    assert_eq!(app.set_role(&app.user("unknown"), None).await, Reply::NoSuchUser);
}

async fn the_operators_are_listed_without_other_accounts(app: App) {
    app.register("zoe").await;
    app.operator("ann", Role::Auditor).await;
    app.clock.advance(Duration::from_secs(1));
    let (email, username, password) = ("bob@example.org".to_owned(), "bob".to_owned(), PASSWORD.to_owned());
    let added = app.run(Command::Add { email, username, password, role: Some(Role::Admin) }).await;
    assert!(matches!(added, Reply::Added { account } if account.role == Some(Role::Admin) && account.email_verified));
    let Reply::Users { users } = app.run(Command::ListOperators).await else { panic!("no list") };
    let listed: Vec<_> = users.iter().map(|line| (&*line.account.username, line.account.role)).collect();
    assert_eq!(listed, [("ann", Some(Role::Auditor)), ("bob", Some(Role::Admin))]);
}

async fn the_owner_and_all_other_admins_are_notified_of_a_role(app: App) {
    let ann = app.operator("ann", Role::Admin).await;
    app.operator("bob", Role::Admin).await;
    app.operator("eve", Role::Support).await;
    let disabled = app.operator("sam", Role::Admin).await;
    app.run(Command::Disable { who: disabled.name.clone(), force: false }).await;
    let dan = app.register_confirmed_by_operator("dan").await;
    app.deliver().await;

    app.set_role(&dan, Some(Role::Admin)).await;
    let mut sent: Vec<_> = app.deliver().await.into_iter().map(|mail| (mail.to, mail.subject)).collect();
    sent.sort();
    let expected = [
        ("ann@example.org", "dan is now an admin of Vestibule"),
        ("bob@example.org", "dan is now an admin of Vestibule"),
        ("dan@example.org", "You have the role admin at Vestibule"),
    ];
    assert_eq!(sent, expected.map(|(to, subject)| (to.to_owned(), subject.to_owned())));
    app.set_role(&dan, Some(Role::Admin)).await;
    assert!(app.deliver().await.is_empty(), "nothing has changed");

    app.set_role(&dan, None).await;
    let message = app.deliver_one().await;
    assert_eq!((&*message.to, &*message.subject), ("dan@example.org", "You are no longer an operator of Vestibule"));
    // Of a role that was given and taken away, nobody is notified but the owner, once.
    app.set_role(&dan, Some(Role::Admin)).await;
    app.set_role(&dan, None).await;
    assert_eq!(app.deliver_one().await.to, dan.email());

    // An admin who was demoted or disabled before the mail is sent gets none.
    app.run(Command::Disable { who: ann.name.clone(), force: false }).await;
    app.set_role(&dan, Some(Role::Admin)).await;
    let bob = app.user("bob");
    app.set_role(&bob, None).await;
    let mut sent: Vec<_> = app.deliver().await.into_iter().map(|mail| mail.subject).collect();
    sent.sort();
    assert_eq!(sent, ["You are no longer an operator of Vestibule", "You have the role admin at Vestibule"]);

    let (email, username, password) = ("kim@example.org".to_owned(), "kim".to_owned(), PASSWORD.to_owned());
    app.run(Command::Add { email, username, password, role: Some(Role::Admin) }).await;
    let mut sent: Vec<_> = app.deliver().await.into_iter().map(|mail| (mail.to, mail.subject)).collect();
    sent.sort();
    let expected = [
        ("dan@example.org", "kim is now an admin of Vestibule"),
        ("kim@example.org", "You have the role admin at Vestibule"),
    ];
    assert_eq!(sent, expected.map(|(to, subject)| (to.to_owned(), subject.to_owned())));
}

async fn two_admins_cannot_delete_each_other_r141(app: App) {
    for _ in 0..10 {
        let admins = [app.operator("ann", Role::Admin).await, app.operator("bob", Role::Admin).await];
        let delete = |admin: &User| app.run(Command::Delete { who: admin.name.clone(), force: false });
        let refused = join_all(admins.iter().map(delete)).await.into_iter().filter(|reply| *reply == last_admin());
        assert_eq!(refused.count(), 1, "one of them remains");
        for admin in admins {
            app.run(Command::Delete { who: admin.name, force: true }).await;
        }
    }
}
