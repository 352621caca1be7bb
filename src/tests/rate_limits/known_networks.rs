//! Known networks of an account. Strangers' failed logins don't limit a login from a known network.

use std::time::Duration;

use vestibule::service::admin::{Command, Reply};

use super::{HOME, LONGEST_WAIT};
use crate::util::{App, NEW, PASSWORD, actors::User, macros::both, some_address};

both! {
    guesses_by_strangers_do_not_limit_a_known_network_r92,
    a_known_network_has_its_own_rate_limit_for_90_days_r87_r92,
    an_account_knows_only_its_ten_latest_networks_r92,
    a_password_reset_makes_its_network_known_r92,
    guesses_do_not_limit_confirming_the_password_or_email_r92,
    recovering_an_account_forgets_an_intruders_networks_r92,
    a_takeover_of_a_squatted_email_forgets_its_networks_r92,
    confirming_an_email_makes_its_network_known_r92,
}

async fn guesses_by_strangers_do_not_limit_a_known_network_r92(app: App) {
    let ann = app.register("ann").await;
    let by_email = app.user(&ann.email());
    let office = "2001:db8:1:2::7";
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    ann.assert_can_log_in_from(office, PASSWORD).await;
    // Sixty networks guess at once, in each round.
    for _ in 0..5 {
        for _ in 0..60 {
            ann.guess().await;
        }
        ann.assert_can_log_in_from(HOME, PASSWORD).await;
        by_email.assert_can_log_in_from(office, PASSWORD).await;
        app.clock.advance(Duration::from_secs(13));
    }
    // Then they guess each time that the longest wait ends.
    app.pass_longest_wait(&ann).await;
    for _ in 0..3 {
        ann.assert_guesses_left(1).await;
        ann.assert_can_log_in_from(HOME, PASSWORD).await;
        app.clock.advance(LONGEST_WAIT);
    }
}

async fn a_known_network_has_its_own_rate_limit_for_90_days_r87_r92(app: App) {
    let ann = app.register("ann").await;
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    for _ in 0..5 {
        ann.assert_cannot_log_in_from(HOME, "wrong").await;
    }
    ann.assert_rate_limited_from(HOME, PASSWORD).await;
    // Strangers have their own count.
    ann.assert_can_log_in(PASSWORD).await;

    app.clock.advance(Duration::from_hours(24 * 90));
    ann.assert_guesses_left(5).await;
    // The network is forgotten, so the count of strangers applies to it.
    ann.assert_rate_limited_from(HOME, PASSWORD).await;
}

async fn an_account_knows_only_its_ten_latest_networks_r92(app: App) {
    let ann = app.register("ann").await;
    let networks: Vec<String> = (1..=11).map(|number| format!("192.0.2.{number}")).collect();
    for network in &networks {
        app.clock.advance(Duration::from_secs(1));
        ann.assert_can_log_in_from(network, PASSWORD).await;
    }
    ann.assert_guesses_left(5).await;
    let (oldest, latest) = networks.split_first().unwrap();
    ann.assert_rate_limited_from(oldest, PASSWORD).await;
    for network in latest {
        ann.assert_can_log_in_from(network, PASSWORD).await;
    }
}

async fn a_password_reset_makes_its_network_known_r92(app: App) {
    let ann = app.register("ann").await;
    app.deliver().await;
    app.pass_longest_wait(&ann).await;
    ann.forgot_password().await.assert_status(200);
    let link = app.deliver_link().await;
    ann.assert_guesses_left(1).await;
    app.reset_password(&link, NEW).from(HOME).await.assert_status(200);

    for _ in 0..60 {
        ann.guess().await;
    }
    // The old password is wrong, but the attempt isn't rate-limited.
    ann.assert_cannot_log_in_from(HOME, PASSWORD).await;
    ann.assert_can_log_in_from(HOME, NEW).await;
    // The link makes no other network known.
    ann.assert_rate_limited_from("192.0.2.8", NEW).await;
}

async fn guesses_do_not_limit_confirming_the_password_or_email_r92(app: App) {
    let ann = app.register("ann").await;
    let mut phone = ann.log_in().await;
    app.pass_longest_wait(&ann).await;
    ann.assert_guesses_left(1).await;
    phone.confirm_password().await;
    let link = app.deliver_link().await;
    app.verify_email(&link, PASSWORD).await.assert_status(200);
}

/// Makes ten networks of an intruder known. Then the intruder guesses once from the first. Returns the networks.
async fn intrude(user: &User) -> Vec<String> {
    let networks: Vec<String> = (0..10).map(|_| some_address()).collect();
    for network in &networks {
        user.assert_can_log_in_from(network, PASSWORD).await;
    }
    user.assert_cannot_log_in_from(&networks[0], "wrong").await;
    networks
}

/// Checks that none of these networks is known. From a known one, the right password would be accepted.
async fn assert_forgotten(user: &User, networks: &[String], password: &str) {
    user.assert_guesses_left(5).await;
    for network in networks {
        let login = user.try_log_in(password).from(network).await;
        assert_eq!(login.status, 429, "{}, {network}: {}", user.name, login.text);
    }
}

/// The ways to recover an account from an intruder.
#[derive(Clone, Copy, Debug)]
enum Recovery {
    /// By the owner, at [`HOME`].
    PasswordReset,
    PasswordChange,
    /// By the operator.
    SetPassword,
    Disabling,
    RevokedSessions,
}

impl Recovery {
    const ALL: [Self; 5] =
        [Self::PasswordReset, Self::PasswordChange, Self::SetPassword, Self::Disabling, Self::RevokedSessions];

    /// Recovers the account. Returns its password afterwards.
    async fn run(self, app: &App, user: &User) -> &'static str {
        let who = user.name.clone();
        let operate = async |command| {
            let reply = app.administer(command).await;
            assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
        };
        match self {
            Self::PasswordReset => {
                user.forgot_password().await.assert_status(200);
                let link = app.deliver_link().await;
                app.reset_password(&link, NEW).from(HOME).await.assert_status(200);
                NEW
            }
            Self::PasswordChange => {
                let phone = user.log_in().await;
                phone.try_change_password(PASSWORD, NEW).from(HOME).await.assert_status(200);
                NEW
            }
            Self::SetPassword => {
                operate(Command::SetPassword { who, password: NEW.to_owned() }).await;
                NEW
            }
            Self::Disabling => {
                operate(Command::Disable { who: who.clone(), force: false }).await;
                operate(Command::Enable { who }).await;
                PASSWORD
            }
            Self::RevokedSessions => {
                operate(Command::RevokeSessions { who }).await;
                PASSWORD
            }
        }
    }

    fn makes_home_known(self) -> bool {
        matches!(self, Self::PasswordReset | Self::PasswordChange)
    }
}

async fn recovering_an_account_forgets_an_intruders_networks_r92(app: App) {
    for (recovery, name) in Recovery::ALL.into_iter().zip(["ann", "bob", "cyd", "dan", "eve"]) {
        let user = app.register(name).await;
        app.deliver().await;
        let networks = intrude(&user).await;
        let password = recovery.run(&app, &user).await;
        let counts = "SELECT CAST(COUNT(*) AS TEXT) FROM account_throttles WHERE key LIKE 'known:%' AND $1 = $1";
        assert_eq!(app.query_text(counts, "").await, "0", "{recovery:?}: the networks' counts are deleted");
        assert_forgotten(&user, &networks, password).await;
        let at_home = user.try_log_in(password).from(HOME).await;
        let expected = if recovery.makes_home_known() { 200 } else { 429 };
        assert_eq!(at_home.status, expected, "{recovery:?}");
    }
}

async fn a_takeover_of_a_squatted_email_forgets_its_networks_r92(app: App) {
    let squatted = app.register("ann").await;
    let networks = intrude(&squatted).await;
    // The mail of the registration reaches the person to whom the email belongs.
    let link = app.deliver_link().await;
    app.reset_password(&link, NEW).from(HOME).await.assert_status(200);
    assert_forgotten(&squatted, &networks, NEW).await;
    squatted.assert_can_log_in_from(HOME, NEW).await;
}

async fn confirming_an_email_makes_its_network_known_r92(app: App) {
    app.user("ann@example.org").assert_guesses_left(5).await;
    let ann = app.register("ann").await;
    ann.assert_rate_limited_from(HOME, PASSWORD).await;
    let link = app.deliver_link().await;
    app.verify_email(&link, PASSWORD).from(HOME).await.assert_status(200);
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    // The link makes no other network known.
    ann.assert_rate_limited(PASSWORD).await;

    app.clock.advance(Duration::from_hours(24 * 91));
    let phone = ann.log_in().await;
    let by_new_email = app.user("new@example.org");
    by_new_email.assert_guesses_left(5).await;
    phone.change_email("new@example.org").await.assert_status(200);
    let link = app.deliver_link().await;
    app.confirm_email(&link, PASSWORD).from(HOME).await.assert_status(200);
    by_new_email.assert_can_log_in_from(HOME, PASSWORD).await;
    by_new_email.assert_rate_limited(PASSWORD).await;
}
