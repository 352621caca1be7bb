//! How much of the server one account, one address or one token can occupy.

use std::{ops::Range, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use vestibule::{
    domain::token::{Token, TokenKind},
    server::config::Config,
    store::LoginCounter,
};

use super::HOME;
use crate::util::{
    App, NEW, PASSWORD, Response,
    actors::{Client, User},
    default_config, hash_like_the_program,
    macros::{both, snapshot},
};

both! {
    an_address_has_ten_logins_and_then_ten_a_minute_r91_r93,
    an_address_has_five_registrations_and_then_twenty_an_hour_r93,
    no_input_of_a_client_resets_its_rate_limit_r89_r90,
    wider_ipv6_networks_have_their_own_rate_limits_r89,
    a_token_has_300_calls_a_minute_on_api_and_page_together_r93,
    an_address_has_60_invalid_links_and_then_one_a_second_r93,
    waiting_logins_of_one_account_leave_slots_for_others_r102,
}

/// Sends ten failing logins from [`HOME`], each with another name.
async fn use_up_logins_at_home(app: &App, name: &str) {
    for number in 0..10 {
        app.user(&format!("{name}{number}")).assert_cannot_log_in_from(HOME, PASSWORD).await;
    }
}

async fn an_address_has_ten_logins_and_then_ten_a_minute_r91_r93(app: App) {
    let ann = app.register("ann").await;
    use_up_logins_at_home(&app, "unknown").await;
    assert_eq!(ann.try_log_in(PASSWORD).from(HOME).await.assert_rate_limited(), 6);

    app.clock.advance(Duration::from_secs(6));
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    // R91: a successful login resets nothing.
    ann.assert_rate_limited_from(HOME, PASSWORD).await;

    app.clock.advance(Duration::from_mins(1));
    use_up_logins_at_home(&app, "another").await;
    ann.assert_rate_limited_from(HOME, PASSWORD).await;
}

async fn an_address_has_five_registrations_and_then_twenty_an_hour_r93(app: App) {
    let register = |name: &str| app.user(name).register().from(HOME);
    let weak = json!({ "email": "a@example.org", "username": "ann", "password": "password" });
    // An attempt with a weak password isn't counted.
    for _ in 0..8 {
        app.post("api_register/", &weak).from(HOME).await.assert_status(400);
    }
    for number in 0..5 {
        register(&format!("ann{number}")).await.assert_status(200);
    }
    let limited = register("bob").await;
    snapshot!(limited.shape(), @r#"
    429 Too Many Requests
    retry-after: 180
    cache-control: no-store
    content-type: application/json; charset=utf-8
    vary: Authorization, Origin, Sec-Fetch-Site
    {"status":"fail","errors":{"account":["Too many attempts. Try again in 3 minutes."]}}
    "#);
    let body = json!({ "email": "bob@example.org", "username": "bob", "password": PASSWORD });
    app.post("/fn/register", &body).from(HOME).await.assert_rate_limited();

    app.clock.advance(Duration::from_mins(3));
    register("bob").await.assert_status(200);
    register("cyd").await.assert_rate_limited();
}

async fn no_input_of_a_client_resets_its_rate_limit_r89_r90(app: App) {
    for number in 0..30_u32 {
        let body = json!({ "email": format!("unknown{number}"), "password": "x", format!("extra{number}"): number });
        let response = app
            .post("api_auth/", &body)
            // Addresses that the client writes before the trusted proxy's entry are ignored.
            .header("x-forwarded-for", format!("203.0.113.{number}, 192.0.2.1"))
            .header("forwarded", format!("for=203.0.113.{number}"))
            .header("x-real-ip", format!("203.0.113.{number}"))
            .header("user-agent", format!("agent {number}"))
            .await;
        let expected = if number < 10 { 400 } else { 429 };
        assert_eq!(response.status, expected, "attempt {number}");
    }
}

async fn wider_ipv6_networks_have_their_own_rate_limits_r89(app: App) {
    let mut tried = 0;
    let mut count_allowed = async |range: Range<u32>, address: fn(u32) -> String| {
        let mut allowed = 0;
        for address in range.map(address) {
            for _ in 0..10 {
                tried += 1;
                let response = app.user(&format!("unknown{tried}")).guess().from(&address).await;
                allowed += u32::from(response.status == 400);
            }
        }
        allowed
    };
    assert_eq!(count_allowed(0..1, |_| "2001:db8::1".to_owned()).await, 10, "a /64 is one address");
    let lans = count_allowed(1..4, |lan| format!("2001:db8:0:{lan}::1")).await;
    assert_eq!(lans, 10, "a /56 has twice the limit, of which half is used");
    let homes = count_allowed(1..12, |home| format!("2001:db8:0:{home:x}00::1")).await;
    assert_eq!(homes, 60, "a /48 has eight times the limit, of which a quarter is used");

    let ann = app.user("ann");
    let limited = ann.guess().from("2001:db8:0:ff00::1").await;
    assert_eq!(limited.assert_rate_limited(), 1, "a wider network's limit refills faster");
    // The next network has its own limit.
    ann.assert_cannot_log_in_from("2001:db8:1::1", "wrong").await;
}

async fn a_token_has_300_calls_a_minute_on_api_and_page_together_r93(app: App) {
    let by_default = |config: &mut Config| {
        config.rate_limit.token_calls_per_minute = default_config().rate_limit.token_calls_per_minute;
    };
    let app = app.restart_changed(by_default).await;
    let ann = app.register("ann").await;
    let (phone, laptop) = (ann.log_in().await, ann.log_in().await);
    let call_page = || phone.call("me", &json!({}));
    for _ in 0..150 {
        phone.assert_logged_in().await;
        call_page().await.assert_status(200);
    }
    assert_eq!(phone.get("me/").await.assert_rate_limited(), 1);
    call_page().await.assert_rate_limited();
    // Another token has its own limit.
    laptop.assert_logged_in().await;

    app.clock.advance(Duration::from_millis(200));
    phone.assert_logged_in().await;
    phone.get("me/").await.assert_rate_limited();

    app.clock.advance(Duration::from_secs(1));
    let script = phone.create_access_token("a script", "read").await;
    for _ in 0..300 {
        script.assert_logged_in().await;
    }
    script.get("me/").await.assert_rate_limited();
}

async fn an_address_has_60_invalid_links_and_then_one_a_second_r93(app: App) {
    app.register("ann").await;
    let valid = app.deliver_link().await;
    let invalid = Token::generate(TokenKind::Link, || 7).expose().to_owned();
    let check = |link: &str| app.post("/fn/check_link", &json!({ "token": link })).from(HOME);
    // A valid link isn't counted.
    for _ in 0..70 {
        assert_eq!(check(&valid).await.assert_status(200).json(), json!({ "email": null }));
    }
    for _ in 0..60 {
        assert_eq!(check(&invalid).await.assert_status(200).json(), Value::Null);
    }
    let body = json!({ "token": invalid, "password": PASSWORD, "new_password": NEW });
    for path in ["verify_email/", "reset_password/", "confirm_email/", "undo_email/", "/fn/check_link"] {
        let limited = app.post(path, &body).from(HOME).await;
        assert_eq!(limited.assert_rate_limited(), 1, "{path}");
    }
    // Another address has its own limit.
    check(&valid).from("192.0.2.8").await.assert_status(200);

    app.clock.advance(Duration::from_secs(1));
    check(&invalid).await.assert_status(200);
    check(&valid).await.assert_status(200);
    check(&invalid).await.assert_rate_limited();
    check(&valid).await.assert_rate_limited();
}

async fn waiting_logins_of_one_account_leave_slots_for_others_r102(app: App) {
    let change = |config: &mut Config| {
        hash_like_the_program(config);
        // The queue has places for 20 logins, and for 10 of one account.
        (config.password.hashing_queue, config.password.hashing_timeout) = (20, Duration::from_mins(1));
    };
    let app = app.restart_changed(change).await;
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let counter = |user: &User| LoginCounter { key: app.service.unknown_network_key(&user.email()), owners: false };
    let counters = [counter(&ann), counter(&bob)];
    for counter in &counters {
        app.reserve_attempts(&counter.key, 5).await;
    }

    let mut logins: FuturesUnordered<_> = (0..16).map(|_| ann.try_log_in(PASSWORD).send()).collect();
    // Six are rejected at once.
    for _ in 0..6 {
        assert_eq!(logins.next().await.unwrap().assert_rate_limited(), 1);
    }
    logins.extend((0..3).map(|_| bob.try_log_in(PASSWORD).send()));

    let settle = async {
        for counter in counters.iter().flat_map(|counter| std::iter::repeat_n(counter, 5)) {
            app.store.settle_right(counter).await.unwrap();
        }
    };
    let (waited, ()) = tokio::join!(logins.collect::<Vec<Response>>(), settle);
    let statuses: Vec<u16> = waited.iter().map(|response| response.status.as_u16()).collect();
    assert_eq!(statuses, [200; 13], "ten of ann's logins and all three of bob's are accepted");
}
