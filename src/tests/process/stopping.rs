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

/// Sends a login's head, and waits until the server asks for its body, which is returned.
fn begin_to_log_in(stream: &mut TcpStream) -> String {
    let body = format!(r#"{{"email":"ann","password":"{PASSWORD}"}}"#);
    let head = request("POST", "/api/accounts/api_auth/", "", &body);
    let head = head.strip_suffix(&format!("\r\n\r\n{body}")).unwrap();
    stream.write_all(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    body
}

#[test]
fn a_signal_lets_requests_under_way_finish_r100() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let body = begin_to_log_in(&mut stream);
    server.signal(Signal::TERM);
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < patience, "it still accepts");
        thread::yield_now();
    }
    stream.write_all(body.as_bytes()).unwrap();
    let (status, _, answer) = read_answer(stream);
    assert_eq!(status, 200, "{answer}");
    let mut server = server;
    assert!(server.exit().success());
}

#[test]
fn what_the_kernel_took_before_a_signal_is_answered_r100() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    // While it stands still, connections are made and requests arrive, of which it knows nothing.
    server.signal(Signal::STOP);
    let waiting: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(request("GET", "/healthz", "", "").as_bytes()).unwrap();
            stream
        })
        .collect();
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    assert!(waiting.into_iter().all(|stream| read_answer(stream).0 == 200));
    assert!(server.exit().success());
}

#[test]
fn a_second_signal_ends_it_at_once_r100() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    begin_to_log_in(&mut stream);
    server.signal(Signal::TERM);
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < patience, "it still accepts");
    }
    server.signal(Signal::TERM);
    assert!(!server.exit().success());
}
