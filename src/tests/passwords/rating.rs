//! The strength check of new passwords, and its cost.

use serde_json::{Value, json};

use crate::util::{App, NEW, PASSWORD, actors::Client, macros::both, some_address};

both! {
    a_password_is_rated_while_it_is_typed_r7_r8,
    rating_passwords_leaves_the_limit_of_registrations_r7_r8,
    a_password_that_is_slow_to_rate_uses_more_of_the_limit_r24_r102,
    a_rate_limited_address_gets_no_password_rated_r24_r102,
    no_login_waits_for_passwords_being_rated_r24_r102,
    requests_to_a_full_rating_queue_are_rate_limited_r24_r89,
    a_password_of_two_repeated_characters_is_rejected_r16_r84,
    rejected_new_passwords_are_not_rate_limited,
}

fn candidate(password: &str, username: &str) -> Value {
    json!({ "password": password, "email": "", "username": username })
}

/// A registration that fails, because its email is invalid.
fn invalid_registration(password: &str) -> Value {
    json!({ "email": "nope", "username": "ann", "password": password })
}

async fn a_password_is_rated_while_it_is_typed_r7_r8(app: App) {
    let rate = async |password: &str, username: &str| {
        app.post("/fn/judge_password", &candidate(password, username)).with_fresh_address().await.json()
    };
    assert_eq!(rate("password", "").await["advice"][0], "common");
    assert_eq!(rate("orchard walrus lantern quilt", "").await, json!({ "score": 4, "advice": [] }));
    let of_the_username = rate("annbeetle annbeetle", "annbeetle").await;
    assert!(of_the_username["advice"].as_array().unwrap().contains(&json!("personal")), "{of_the_username}");
    let phone = app.register("ann").await.log_in().await;
    let of_the_email = phone.call("judge_password", &candidate("ann@example.org", "")).await.json();
    assert!(of_the_email["advice"].as_array().unwrap().contains(&json!("personal")), "{of_the_email}");
}

async fn rating_passwords_leaves_the_limit_of_registrations_r7_r8(app: App) {
    let address = some_address();
    let mut rated = 0;
    while app.post("/fn/judge_password", &candidate("password", "")).from(&address).await.status == 200 {
        rated += 1;
        assert!(rated < 40, "frequent requests are rate-limited");
    }
    let registration = json!({ "email": "bee@example.org", "username": "bee", "password": PASSWORD });
    app.post("/fn/register", &registration).from(&address).await.assert_status(200);
}

async fn a_password_that_is_slow_to_rate_uses_more_of_the_limit_r24_r102(app: App) {
    let count_rated = async |function: &str, password: &str| {
        let address = some_address();
        let mut rated = 0;
        let body = invalid_registration(password);
        while app.post(&format!("/fn/{function}"), &body).from(&address).await.status != 429 {
            rated += 1;
            assert!(rated < 100, "{function} has no rate limit");
        }
        rated
    };
    let slow = ["4@({[<69$5+7", &"a".repeat(30)].concat();
    for function in ["judge_password", "register"] {
        assert_eq!(count_rated(function, "password").await, 30, "{function}: 150 ms");
        let rated = count_rated(function, &slow).await;
        assert!((15..20).contains(&rated), "{function}: {rated}");
    }
}

async fn a_rate_limited_address_gets_no_password_rated_r24_r102(app: App) {
    let post = async |function: &str, address: &str, password: &str| {
        app.post(&format!("/fn/{function}"), &invalid_registration(password)).from(address).await
    };
    for (function, invalid) in [("register", "short"), ("judge_password", "")] {
        let address = some_address();
        post(function, &address, invalid).await.assert_status(400);
        let mut rated = 0;
        while post(function, &address, "password").await.status != 429 {
            rated += 1;
            assert!(rated < 100, "{function} has no rate limit");
        }
        // The rate limit rejects the request before the password is parsed.
        post(function, &address, invalid).await.assert_status(429);
    }
}

async fn no_login_waits_for_passwords_being_rated_r24_r102(app: App) {
    let ann = app.register("ann").await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let rating = app.judge.enqueue().unwrap().run(move || released.recv().is_err());
    let waiting: Vec<_> = std::iter::from_fn(|| app.judge.enqueue().ok()).collect();
    let meanwhile = async {
        app.user("bob").register().await.assert_status(503);
        ann.log_in().await.confirm_password().await;
        drop(release);
    };
    let (rated, ()) = tokio::join!(rating, meanwhile);
    assert!(rated.unwrap());
    drop(waiting);
    app.register("bob").await;
}

async fn requests_to_a_full_rating_queue_are_rate_limited_r24_r89(app: App) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let rating = app.judge.enqueue().unwrap().run(move || released.recv().is_err());
    let waiting: Vec<_> = std::iter::from_fn(|| app.judge.enqueue().ok()).collect();
    let meanwhile = async {
        let body = json!({ "email": "bob@example.org", "username": "bob", "password": PASSWORD });
        for path in ["api_register/", "/fn/judge_password"] {
            let address = some_address();
            app.post(path, &body).from(&address).await.assert_status(503);
            for _ in 1..30 {
                app.post(path, &body).from(&address).await;
            }
            app.post(path, &body).from(&address).await.assert_status(429);
        }
        drop(release);
    };
    tokio::join!(rating, meanwhile).0.unwrap();
    drop(waiting);
}

/// The estimator multiplies without a check for overflow, and such a password overflows.
async fn a_password_of_two_repeated_characters_is_rejected_r16_r84(app: App) {
    let phone = app.register("ann").await.log_in().await;
    let periodic = "12".repeat(20);
    let account = json!({ "email": "bob@example.org", "username": "bob", "password": periodic });
    let change = json!({ "current_password": PASSWORD, "new_password": periodic });
    phone.post("api_register/", &account).await.assert_status(400);
    phone.call("register", &account).await.assert_status(400);
    phone.post("change_password/", &change).await.assert_status(400);
    phone.call("change_password", &change).await.assert_status(400);
}

async fn rejected_new_passwords_are_not_rate_limited(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    for _ in 0..7 {
        phone.try_change_password(PASSWORD, "ann@example.org").await.assert_status(400);
    }
    let same = phone.try_change_password(PASSWORD, PASSWORD).await;
    same.assert_field_error("new_password", "This is already your password. Choose a different one.");
    phone.change_password(NEW).await;
}
