//! Rate limits of failed logins, on both databases, through the API and the page.

mod bounds;
mod known_networks;
mod settling;

use std::{collections::BTreeSet, panic::Location, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use sqlx::{Connection, PgConnection, SqliteConnection};
use vestibule::{
    server::config::Config,
    store::{DatabaseUrl, Reservation},
};

use crate::util::{
    App, Backend, NEW, PASSWORD, Response,
    actors::{Client, User, assert_status},
    hash_like_the_program,
    macros::{both, snapshot},
    request::Request,
};

both! {
    of_500_parallel_wrong_passwords_at_most_ten_are_hashed_r87,
    each_failure_doubles_an_accounts_wait_up_to_15_minutes_r92,
    names_with_and_without_account_are_rate_limited_alike_r13_r88,
    the_page_and_the_api_share_their_rate_limits_r15,
    rate_limits_survive_a_restart_r93,
    attempts_with_an_earlier_clock_reset_no_rate_limit_r87,
    a_clock_set_back_ends_rate_limits_from_the_future_r99,
    the_rate_limit_reveals_neither_account_nor_activity_r13_r88,
    a_rate_limited_name_stays_so_once_an_account_takes_it_r88,
    parallel_logins_with_the_right_password_all_succeed_r87,
    after_a_wait_only_one_of_40_parallel_guesses_is_tried_r87,
}

/// The address where an owner logs in.
const HOME: &str = "192.0.2.7";

/// The longest wait after a failed login.
const LONGEST_WAIT: Duration = Duration::from_mins(15);

impl Response {
    /// Checks that a rate limit rejected the request. Returns the seconds to wait.
    #[track_caller]
    fn assert_rate_limited(&self) -> u64 {
        self.assert_status(429).header("retry-after").parse().unwrap()
    }
}

/// Logins of the owner from an address.
impl User {
    #[track_caller]
    fn assert_can_log_in_from(&self, address: &str, password: &str) -> impl Future<Output = ()> {
        assert_status(self.try_log_in(password).from(address), 200)
    }

    #[track_caller]
    fn assert_cannot_log_in_from(&self, address: &str, password: &str) -> impl Future<Output = ()> {
        assert_status(self.try_log_in(password).from(address), 400)
    }

    #[track_caller]
    fn assert_rate_limited_from(&self, address: &str, password: &str) -> impl Future<Output = ()> {
        assert_status(self.try_log_in(password).from(address), 429)
    }
}

/// Logins of strangers to this account, each from another address.
impl User {
    /// Tries a wrong password.
    fn guess(&self) -> Request {
        self.try_log_in("wrong")
    }

    /// Tries wrong passwords. None of these attempts is rate-limited.
    #[track_caller]
    fn guess_times(&self, count: usize) -> impl Future<Output = ()> {
        let line = Location::caller();
        async move {
            for number in 1..=count {
                let response = self.guess().await;
                assert_eq!(response.status, 400, "{line}: guess {number}: {}", response.text);
            }
        }
    }

    #[track_caller]
    fn assert_rate_limited(&self, password: &str) -> impl Future<Output = ()> {
        assert_status(self.try_log_in(password), 429)
    }

    /// Checks that exactly `count` guesses are possible without a wait.
    #[track_caller]
    fn assert_guesses_left(&self, count: usize) -> impl Future<Output = ()> {
        let guesses = self.guess_times(count);
        let limited = self.assert_rate_limited("wrong");
        async move {
            guesses.await;
            limited.await;
        }
    }
}

impl App {
    /// Makes strangers guess until an account's wait reaches its maximum. Then advances the clock past that wait.
    async fn pass_longest_wait(&self, user: &User) {
        // Some guesses may be possible without a wait.
        for _ in 0..5 {
            user.guess().await;
        }
        loop {
            let wait = Duration::from_secs(user.guess().await.assert_rate_limited());
            self.clock.advance(wait);
            if wait == LONGEST_WAIT {
                return;
            }
            user.guess_times(1).await;
        }
    }

    /// More servers on the same database. SQLite allows only one.
    async fn siblings(&self, count: usize) -> Vec<Self> {
        let mut siblings = Vec::new();
        if self.backend == Backend::Postgres {
            for _ in 0..count {
                siblings.push(self.sibling().await);
            }
        }
        siblings
    }

    /// Restarts with the program's hashes and another time limit for the wait in their queue.
    async fn with_hashing_timeout(self, timeout: Duration) -> Self {
        self.restart_changed(|config| {
            hash_like_the_program(config);
            config.password.hashing_timeout = timeout;
        })
        .await
    }

    /// Reserves attempts, as logins in progress do.
    async fn reserve_attempts(&self, key: &str, count: usize) {
        for _ in 0..count {
            let reservation = self.store.reserve_login(key, self.service.policy().account, self.now()).await.unwrap();
            assert_eq!(reservation, Reservation::Now);
        }
    }

    /// The one text that a statement returns.
    async fn query_text(&self, sql: &'static str, value: &str) -> String {
        match &self.config.database.url {
            DatabaseUrl::Sqlite(file) => {
                let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
                sqlx::query_scalar(sql).bind(value).fetch_one(&mut connection).await.unwrap()
            }
            DatabaseUrl::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query_scalar(sql).bind(value).fetch_one(&mut connection).await.unwrap()
            }
        }
    }
}

/// Sends parallel logins, distributed over the servers.
async fn log_in_parallel(servers: &[&App], name: &str, password: &str, count: usize) -> Vec<Response> {
    let logins = servers.iter().cycle().take(count).map(|server| server.user(name).try_log_in(password).send());
    join_all(logins).await
}

/// Checks how many logins with a wrong password were compared. All others must be rate-limited.
#[track_caller]
fn assert_compared(responses: &[Response], compared: usize) {
    let count = |status: u16| responses.iter().filter(|response| response.status == status).count();
    assert_eq!(count(400), compared);
    assert_eq!(count(429), responses.len() - compared);
}

async fn of_500_parallel_wrong_passwords_at_most_ten_are_hashed_r87(app: App) {
    let change = |config: &mut Config| {
        hash_like_the_program(config);
        (config.password.hashing_queue, config.password.hashing_timeout) = (500, Duration::from_mins(5));
        (config.rate_limit.account_free_failures, config.rate_limit.account_delay) = (10, LONGEST_WAIT);
    };
    let app = app.restart_changed(change).await;
    app.register("ann").await;
    let siblings = app.siblings(2).await;
    let servers: Vec<&App> = siblings.iter().chain([&app]).collect();
    let count_hashes = || servers.iter().map(|server| server.service.hashes_run()).sum::<u64>();
    let before = count_hashes();
    let responses = log_in_parallel(&servers, "ann", "wrong", 500).await;
    assert_eq!(count_hashes() - before, 10);
    assert_compared(&responses, 10);
}

async fn each_failure_doubles_an_accounts_wait_up_to_15_minutes_r92(app: App) {
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    ann.guess_times(5).await;
    let mut waits = Vec::new();
    for _ in 0..13 {
        // The limit applies to the right password as well.
        let wait = ann.try_log_in(PASSWORD).await.assert_rate_limited();
        waits.push(wait);
        app.clock.advance(Duration::from_secs(wait));
        ann.guess_times(1).await;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
    phone.assert_logged_in().await;

    app.clock.advance(Duration::from_mins(15));
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    // The network is known now, with its own free failures.
    ann.assert_cannot_log_in_from(HOME, "wrong").await;
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
    // Strangers have no free failures: after the wait, one guess is possible.
    ann.guess_times(1).await;
    ann.assert_rate_limited(PASSWORD).await;
}

async fn names_with_and_without_account_are_rate_limited_alike_r13_r88(app: App) {
    app.register("ann").await;
    let with_account = ["ann", "ANN@example.org", " Ann "];
    let without = ["unknown@example.org", "Unknown@EXAMPLE.org", " unknown@example.org"];
    let mut shapes = BTreeSet::new();
    for spellings in [with_account, without] {
        for name in spellings.iter().cycle().take(5) {
            app.user(name).guess_times(1).await;
        }
        for name in spellings {
            let limited = app.user(name).try_log_in(PASSWORD).await;
            assert_eq!(limited.status, 429, "{name}: all spellings share one count");
            shapes.insert(limited.shape());
        }
    }
    assert_eq!(shapes.len(), 1, "{shapes:?}");
}

async fn the_page_and_the_api_share_their_rate_limits_r15(app: App) {
    let ann = app.register("ann").await;
    ann.guess_times(5).await;
    let page = ann.post("/fn/login", &json!({ "email": "ann", "password": PASSWORD })).await;
    snapshot!(page.shape(), @r#"
    429 Too Many Requests
    retry-after: 1
    cache-control: no-store
    content-type: application/json
    vary: Authorization, Origin, Sec-Fetch-Site
    {"rate_limited":{"retry_after":1}}
    "#);
}

async fn rate_limits_survive_a_restart_r93(app: App) {
    let ann = app.register("ann").await;
    ann.guess_times(5).await;
    let _app = app.restart().await;
    ann.assert_rate_limited(PASSWORD).await;
}

async fn attempts_with_an_earlier_clock_reset_no_rate_limit_r87(app: App) {
    // Each attempt has a slightly earlier time than the one before, as concurrent requests may have.
    let moment = Duration::from_millis(3);
    let mut limited = 0;
    for number in 0..30 {
        app.clock.go_back(moment);
        let response = app.user(&format!("unknown{number}")).guess().from(HOME).await;
        limited += u32::from(response.status == 429);
    }
    assert!(limited >= 20, "an address has ten logins: {limited} of 30 were rate-limited");

    let another = app.user("another");
    for number in 0..20 {
        app.clock.go_back(moment);
        let expected = if number < 5 { 400 } else { 429 };
        assert_eq!(another.guess().await.status, expected, "attempt {number}");
    }
}

async fn a_clock_set_back_ends_rate_limits_from_the_future_r99(app: App) {
    let year = Duration::from_hours(8760);
    let ann = app.register("ann").await;
    app.clock.advance(year);
    ann.guess_times(5).await;
    for number in 0..11 {
        app.user(&format!("unknown{number}")).guess().from(HOME).await;
    }
    app.clock.go_back(year);
    ann.assert_can_log_in_from(HOME, PASSWORD).await;
}

/// The owner's activity while strangers guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Nothing,
    /// The name has no account.
    NoAccount,
    Login,
    LoginFromKnownNetwork,
    PasswordReset,
    Deletion,
    NewUsername,
}

impl Activity {
    const ALL: [Self; 7] = [
        Self::Nothing,
        Self::NoAccount,
        Self::Login,
        Self::LoginFromKnownNetwork,
        Self::PasswordReset,
        Self::Deletion,
        Self::NewUsername,
    ];

    async fn run(self, app: &App, owner: &User) {
        match self {
            Self::Nothing | Self::NoAccount => {}
            Self::Login => owner.assert_can_log_in(PASSWORD).await,
            Self::LoginFromKnownNetwork => owner.assert_can_log_in_from(HOME, PASSWORD).await,
            Self::PasswordReset => reset_password(app, owner).await,
            Self::Deletion => {
                owner.log_in().await.delete_account(&owner.name).await.assert_status(204);
            }
            Self::NewUsername => {
                let new = format!("new.{}", owner.name);
                owner.log_in().await.change_username(&new).await.assert_status(200);
            }
        }
    }
}

async fn reset_password(app: &App, owner: &User) {
    owner.forgot_password().await.assert_status(200);
    let link = app.deliver_link().await;
    app.reset_password(&link, NEW).await.assert_status(200);
}

async fn the_rate_limit_reveals_neither_account_nor_activity_r13_r88(app: App) {
    for (number, activity) in Activity::ALL.into_iter().enumerate() {
        for by_email in [true, false] {
            let owner = app.user(&if by_email { format!("ann{number}") } else { format!("bob{number}") });
            if activity != Activity::NoAccount {
                owner.register().await.assert_status(200);
                app.deliver().await;
            }
            if activity == Activity::LoginFromKnownNetwork {
                owner.assert_can_log_in_from(HOME, PASSWORD).await;
            }
            let guessed = if by_email { app.user(&owner.email()) } else { owner.clone() };
            let mut statuses = Vec::new();
            for guess in 1..=6 {
                statuses.push(guessed.guess().await.status.as_u16());
                if guess == 4 {
                    activity.run(&app, &owner).await;
                }
            }
            assert_eq!(statuses, [400, 400, 400, 400, 400, 429], "{activity:?}, {}", guessed.name);
        }
    }
}

async fn a_rate_limited_name_stays_so_once_an_account_takes_it_r88(app: App) {
    let email = app.user("ann@example.org");
    email.assert_guesses_left(5).await;
    app.register("ann").await;
    email.assert_rate_limited(PASSWORD).await;

    let bob = app.user("bob");
    bob.assert_guesses_left(5).await;
    bob.register().await.assert_status(200);
    bob.assert_rate_limited(PASSWORD).await;

    let phone = app.register("cyd").await.log_in().await;
    let cydney = app.user("cydney");
    cydney.assert_guesses_left(5).await;
    phone.change_username("cydney").await.assert_status(200);
    cydney.assert_rate_limited(PASSWORD).await;
}

async fn parallel_logins_with_the_right_password_all_succeed_r87(app: App) {
    let app = app.with_hashing_timeout(Duration::from_mins(5)).await;
    let ann = app.register("ann").await;
    let siblings = app.siblings(1).await;
    let servers: Vec<&App> = siblings.iter().chain([&app]).collect();
    let assert_all_log_in = async |failures: &str| {
        let responses = log_in_parallel(&servers, "ann", PASSWORD, 20).await;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status.as_u16()).collect();
        assert_eq!(statuses, [200; 20], "{failures}");
    };
    assert_all_log_in("with all free failures").await;
    ann.guess_times(4).await;
    assert_all_log_in("with one free failure").await;
    ann.guess_times(1).await;
    app.clock.advance(Duration::from_secs(1));
    assert_all_log_in("without free failures, when attempts run one at a time").await;
    // The successful logins reset no failures of strangers.
    ann.assert_guesses_left(1).await;
}

async fn after_a_wait_only_one_of_40_parallel_guesses_is_tried_r87(app: App) {
    let app = app.with_hashing_timeout(Duration::from_mins(5)).await;
    app.register("ann").await;
    let siblings = app.siblings(1).await;
    let servers: Vec<&App> = siblings.iter().chain([&app]).collect();
    assert_compared(&log_in_parallel(&servers, "ann", "wrong", 40).await, 5);
    app.clock.advance(Duration::from_secs(1));
    assert_compared(&log_in_parallel(&servers, "ann", "wrong", 40).await, 1);
}
