//! Metrics, served by the program.

use super::*;
use crate::util::port::ReservedPort;

/// Sends a request to the listener for metrics.
fn scrape(port: u16, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("{method} {path} HTTP/1.1\r\nhost: vestibule:9090\r\n\r\n").as_bytes()).unwrap();
    read_answer(stream)
}

#[test]
fn metrics_are_off_by_default_and_never_on_the_main_address_r115() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    assert_eq!(server.call("GET", "/metrics", "", "").0, 404);
    assert!(!log_of(folder.path()).contains("metrics are served"));
    server.stop();
}

#[test]
fn the_metrics_address_serves_metrics_and_nothing_else_r115() {
    let folder = folder();
    let port = ReservedPort::new();
    let number = port.number();
    let server = start(folder.path(), &[("VESTIBULE_METRICS_ADDRESS", &format!("127.0.0.1:{number}"))]);
    server.register();
    assert_eq!(server.log_in().0, 200);
    let (status, head, text) = scrape(number, "GET", "/metrics");
    assert!(status == 200 && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(text.contains("vestibule_logins_total{result=\"ok\"} 1\n"), "{text}");
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/healthz", 404),
        ("GET", "/api/accounts/me/", 404),
        ("POST", "/api/accounts/api_auth/", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/metrics", 405),
    ] {
        assert_eq!(scrape(number, method, path).0, expected, "{method} {path}");
    }
    assert_eq!(server.call("GET", "/metrics", "", "").0, 404);
    assert!(server.stop().success());
}

#[test]
fn an_unusable_metrics_address_stops_the_start_r105() {
    let folder = folder();
    let taken = ReservedPort::new();
    let number = taken.number();
    let _listener = taken.listen();
    let address = format!("127.0.0.1:{number}");
    let (code, _, error) = run(folder.path(), &[], &[("VESTIBULE_METRICS_ADDRESS", &address)], "");
    assert!(code == 1 && error.contains(&address) && error.contains("Set metrics.address"), "{error}");
    assert!(!folder.path().join("vestibule.db").exists(), "nothing is created");
    let (code, _, error) = run(folder.path(), &[], &[("VESTIBULE_METRICS_ADDRESS", "localhost:9090")], "");
    assert!(code == 2 && error.contains("metrics.address") && error.lines().count() == 1, "{error}");
}
