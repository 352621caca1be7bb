//! Several servers on one PostgreSQL, each as a process.

use super::*;
use crate::util::{client, postgres};

/// A server with its folder.
struct Member {
    server: Server,
    _folder: TempDir,
}

/// Starts servers at once on one empty database. Their queues for hashing are so long that they reject no login.
fn together(url: &str, count: usize) -> Vec<Member> {
    let settings = [
        ("DATABASE_URL", url),
        ("VESTIBULE_SERVER_TRUSTED_PROXIES", "127.0.0.1"),
        ("VESTIBULE_PASSWORD_HASHING_QUEUE", "500"),
        ("VESTIBULE_PASSWORD_HASHING_TIMEOUT", "5m"),
        ("VESTIBULE_SERVER_RESPONSE_TIMEOUT", "5m"),
        ("VESTIBULE_RATE_LIMIT_ACCOUNT_FREE_FAILURES", "10"),
        ("VESTIBULE_RATE_LIMIT_ACCOUNT_DELAY", "15m"),
    ];
    let start = || {
        let folder = folder();
        Member { server: start(folder.path(), &settings), _folder: folder }
    };
    thread::scope(|scope| {
        let starts: Vec<_> = (0..count).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    })
}

fn empty_database() -> String {
    Runtime::new().unwrap().block_on(postgres::fresh_database())
}

fn count_accounts(url: &str) -> i64 {
    Runtime::new().unwrap().block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(&mut connection).await.unwrap()
    })
}

/// Sends that many requests at once, distributed evenly over the servers, and counts the responses by status.
fn at_once(servers: &[Member], requests: usize, one: impl Fn(SocketAddr, usize) -> u16 + Sync) -> BTreeMap<u16, usize> {
    let (ready, one) = (Barrier::new(requests), &one);
    thread::scope(|scope| {
        let calls: Vec<_> = (0..requests)
            .map(|n| {
                let (address, ready) = (servers[n % servers.len()].server.address, &ready);
                scope.spawn(move || {
                    ready.wait();
                    one(address, n)
                })
            })
            .collect();
        let mut counts = BTreeMap::new();
        for call in calls {
            *counts.entry(call.join().unwrap()).or_default() += 1;
        }
        counts
    })
}

#[test]
fn five_programs_can_start_at_once_on_an_empty_database_r101() {
    let servers = together(&empty_database(), 5);
    assert_eq!(client::register(servers[0].server.address, "ann").unwrap().status, 200);
    for member in &servers {
        assert_eq!(client::log_in(member.server.address, "ann").unwrap().status, 200);
    }
    assert!(servers.into_iter().all(|member| member.server.stop().success()));
}

#[test]
fn a_hundred_registrations_at_three_programs_make_one_account_r1() {
    let url = empty_database();
    let servers = together(&url, 3);
    let spellings = ["ann@example.org", "Ann@Example.ORG", " ANN@example.org "];
    let counts = at_once(&servers, 100, |address, n| {
        let body = json!({ "email": spellings[n / 3 % 3], "username": format!("ann{n}"), "password": PASSWORD });
        client::call(address, "POST", "api_register/", "", &body.to_string()).unwrap().status
    });
    assert_eq!(counts, BTreeMap::from([(200, 1), (409, 99)]));
    assert_eq!(count_accounts(&url), 1);
}

#[test]
fn a_logout_at_one_program_is_known_to_the_others_at_once_r41() {
    let servers = together(&empty_database(), 3);
    let [one, two, three] = [0, 1, 2].map(|n| servers[n].server.address);
    let ask = |token: &str| [one, two, three].map(|server| client::me(server, token).unwrap().status);
    assert_eq!(client::register(one, "ann").unwrap().status, 200);
    for _ in 0..20 {
        let token = client::token(one, "ann");
        assert_eq!(ask(&token), [200, 200, 200]);
        assert_eq!(client::log_out(two, &token).unwrap().status, 204);
        assert_eq!(ask(&token), [401, 401, 401]);
    }
}

#[test]
fn of_500_wrong_passwords_three_programs_hash_at_most_ten_r87() {
    let servers = together(&empty_database(), 3);
    assert_eq!(client::register(servers[0].server.address, "ann").unwrap().status, 200);
    let counts = at_once(&servers, 500, |address, _| client::log_in_with(address, "ann", "wrong").unwrap().status);
    // Ten responses report a wrong password, so ten passwords were hashed.
    assert_eq!(counts, BTreeMap::from([(400, 10), (429, 490)]));
}
