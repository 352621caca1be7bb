//! How it ends, in good order and otherwise.

use super::*;

#[test]
fn a_kill_loses_nothing_and_brings_nothing_back_r41() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let (kept, ended) = (server.token(), server.token());
    assert_eq!(server.call("POST", "/api/accounts/logout/", &ended, "{}").0, 204);
    drop(server);
    let server = start(folder.path(), &[]);
    assert_eq!((server.me(&kept), server.me(&ended)), (200, 401));
    assert_eq!(server.log_in().0, 200);
    assert!(server.stop().success());
}

#[test]
fn a_signal_lets_requests_under_way_finish_r100() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let body = format!(r#"{{"email":"ann","password":"{PASSWORD}"}}"#);
    let text = request("POST", "/api/accounts/api_auth/", "", &body);
    let (head, tail) = text.split_at(text.len() - 5);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // The server has the request's head when it answers another one that was sent after it.
    assert_eq!(server.call("GET", "/healthz", "", "").0, 200);
    server.signal(Signal::TERM);
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < patience, "it still accepts");
        std::thread::yield_now();
    }
    stream.write_all(tail.as_bytes()).unwrap();
    let (status, _, answer) = read_answer(stream);
    assert_eq!(status, 200, "{answer}");
    let mut server = server;
    assert!(server.process.wait().unwrap().success());
}

#[test]
fn a_second_signal_ends_it_at_once_r100() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"POST /api/accounts/api_auth/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{").unwrap();
    assert_eq!(server.call("GET", "/healthz", "", "").0, 200);
    server.signal(Signal::TERM);
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < patience, "it still accepts");
    }
    server.signal(Signal::TERM);
    assert!(!server.process.wait().unwrap().success());
}
