//! How passwords are stored.

use futures_util::future::join_all;
use vestibule::{domain::identifier::Identifier, server::config::Config};

use crate::util::{App, Backend, PASSWORD, hash_like_the_program, macros::both};

both! {
    equal_passwords_have_different_salts_and_hashes_r21,
    the_database_holds_no_password_and_no_token_r21_r31,
    parallel_logins_with_an_outdated_hash_all_succeed,
    a_login_renews_an_outdated_hash,
    a_renewed_hash_never_replaces_a_newer_one,
}

async fn hash_of(app: &App, name: &str) -> String {
    app.store.find_credential(&Identifier::parse(name)).await.unwrap().unwrap().password_hash
}

/// Raises the cost above the program's.
fn hash_at_higher_cost(config: &mut Config) {
    hash_like_the_program(config);
    config.password.argon2_iterations = 3;
}

async fn equal_passwords_have_different_salts_and_hashes_r21(app: App) {
    app.register("ann").await;
    app.register("bob").await;
    let (ann, bob) = (hash_of(&app, "ann").await, hash_of(&app, "bob").await);
    assert_ne!(ann.split('$').nth(4), bob.split('$').nth(4), "the salts");
    assert_ne!(ann.split('$').nth(5), bob.split('$').nth(5), "the hashes");
}

async fn the_database_holds_no_password_and_no_token_r21_r31(app: App) {
    let app = app.restart_changed(hash_like_the_program).await;
    let phone = app.register("ann").await.log_in().await;
    let hash = hash_of(&app, "ann").await;
    let parts: Vec<&str> = hash.split('$').collect();
    assert_eq!(parts[1..4], ["argon2id", "v=19", "m=19456,t=2,p=1"]);
    assert_eq!(parts[4].len(), 22, "a salt of 16 bytes, in base64");
    assert_eq!(parts[5].len(), 43, "a hash of 32 bytes, in base64");
    if app.backend == Backend::Sqlite {
        for file in std::fs::read_dir(app.folder()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for secret in [phone.token.as_bytes(), PASSWORD.as_bytes()] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret));
            }
        }
    }
}

async fn parallel_logins_with_an_outdated_hash_all_succeed(app: App) {
    let app = app.restart_changed(hash_like_the_program).await;
    let ann = app.register("ann").await;
    let _app = app.restart_changed(hash_at_higher_cost).await;
    join_all((0..4).map(|_| ann.log_in())).await;
    ann.assert_cannot_log_in("wrong").await;
}

async fn a_login_renews_an_outdated_hash(app: App) {
    let app = app.restart_changed(hash_like_the_program).await;
    let ann = app.register("ann").await;
    let app = app.restart_changed(hash_at_higher_cost).await;
    ann.assert_cannot_log_in("wrong").await;
    ann.assert_can_log_in(PASSWORD).await;
    let renewed = hash_of(&app, "ann").await;
    assert!(renewed.contains("m=19456,t=3,p=1"), "{renewed}");
    ann.assert_can_log_in(PASSWORD).await;
}

async fn a_renewed_hash_never_replaces_a_newer_one(app: App) {
    let ann = app.register("ann").await;
    let outdated = hash_of(&app, "ann").await;
    let app = app.restart_changed(hash_at_higher_cost).await;
    ann.assert_can_log_in(PASSWORD).await;
    let user = app.store.find_credential(&Identifier::parse("ann")).await.unwrap().unwrap().user;
    assert!(!app.store.renew_hash(&user.id, &outdated, "stale").await.unwrap());
    ann.assert_can_log_in(PASSWORD).await;
}
