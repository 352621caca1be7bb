//! Registering where mail is sent.

use super::*;

/// Runs a test with a server that sends mail, on both databases.
async fn on_both_sending(test: impl AsyncFn(App)) {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        test(App::start_with(backend, sends).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_tells_no_stranger_who_has_an_account_r2() {
    Box::pin(on_both_sending(async |app| {
        app.register_confirmed("ann").await;
        let register = async |email: &str, username: &str| {
            let before = app.service.hashes_run();
            let answer =
                app.send(REGISTER, json!({ "email": email, "username": username, "password": PASSWORD })).await;
            (answer.shape(), app.service.hashes_run() - before)
        };
        let new = register("new@example.org", "new").await;
        assert_eq!(app.deliver_one().await.subject, "Confirm your email for Vestibule");
        let taken = register("ANN@example.org", "another").await;
        assert_eq!(taken, new, "the same response, after the same work");
        let notice = app.deliver_one().await;
        assert_eq!(
            (notice.to.as_str(), notice.subject.as_str()),
            ("ann@example.org", "You already have an account at Vestibule")
        );
        assert!(notice.to_text().contains("https://accounts.example.org/forgot"));
        assert_eq!(app.log_in("another", PASSWORD).await.status, 400, "no account was created");
        let (username, _) = register("third@example.org", "ANN").await;
        assert!(username.contains("This name is taken. Choose another."), "names are public: {username}");
        assert!(app.deliver().await.is_empty());
        // A second registration with an email that belongs to another person looks the same.
        let again = register("new@example.org", "newer").await;
        assert_eq!(again, new);
        assert_eq!(app.deliver_one().await.subject, "Confirm your email for Vestibule");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_told_of_strangers_registrations_only_so_often_r56() {
    Box::pin(on_both_sending(async |app| {
        app.register_confirmed("ann").await;
        for at in 0..7 {
            let body = json!({ "email": "ann@example.org", "username": format!("eve{at}"), "password": PASSWORD });
            assert_eq!(app.send(REGISTER, body).await.status, 200);
        }
        assert_eq!(app.deliver().await.len(), 5);
        app.reset_link("ann").await;
    }))
    .await;
}

#[tokio::test]
async fn ones_own_username_is_no_way_to_ask_for_an_email_r2() {
    let app = App::start_with(Backend::Sqlite, sends).await;
    app.register("ann").await;
    app.register("eve").await;
    app.deliver().await;
    let ask = async |email: &str| {
        app.send(REGISTER, json!({ "email": email, "username": "eve", "password": PASSWORD })).await.shape()
    };
    assert_eq!(ask("ann@example.org").await, ask("nobody@example.org").await);
    assert!(app.deliver().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_logs_nobody_in_where_that_would_tell_who_has_an_account_r2() {
    Box::pin(on_both_sending(async |app| {
        app.register_confirmed("ann").await;
        let register = async |email: &str, username: &str| {
            let body = json!({ "email": email, "username": username, "password": PASSWORD });
            let mut answer = app.send("/fn/register", body).await.json();
            for (key, expected) in [("id", None), ("email", Some(email)), ("username", Some(username))] {
                let value = answer["account"][key].take();
                assert!(expected.is_none_or(|expected| value == expected), "{key}: {value}");
            }
            answer
        };
        let (new, taken) = (register("new@example.org", "new").await, register("ann@example.org", "another").await);
        assert_eq!(new, taken);
        assert_eq!(new["sign_in"], Value::Null);
    }))
    .await;
}

#[tokio::test]
async fn the_page_logs_nobody_in_whose_email_must_be_confirmed_first_r6() {
    let app = App::start_with(Backend::Sqlite, |config| {
        config.mail.url = MailUrl::parse("folder:mail").unwrap();
        config.registration.require_verified_email = true;
    })
    .await;
    let body = json!({ "email": "ann@example.org", "username": "ann", "password": PASSWORD });
    assert_eq!(app.send("/fn/register", body).await.json()["sign_in"], Value::Null);
}
