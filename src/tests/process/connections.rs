//! Clients that are slow, or that take too much.

use super::*;

#[test]
fn slow_clients_are_given_up_on_and_others_served_r102() {
    let folder = folder();
    let server = start(
        folder.path(),
        &[
            ("VESTIBULE_SERVER_HEADER_TIMEOUT", "1s"),
            ("VESTIBULE_SERVER_BODY_TIMEOUT", "1s"),
            ("VESTIBULE_SERVER_IDLE_TIMEOUT", "1s"),
            ("VESTIBULE_SERVER_MAX_CONNECTIONS_PER_ADDRESS", "40"),
        ],
    );
    let begin = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let silent: Vec<TcpStream> = (0..8).map(|_| begin(b"")).collect();
    let headers: Vec<TcpStream> = (0..8).map(|_| begin(b"GET /healthz HTTP/1.1\r\nhost: localh")).collect();
    let bodies: Vec<TcpStream> = (0..8)
        .map(|_| begin(b"POST /api/accounts/api_auth/ HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"))
        .collect();
    let idle = begin(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(server.call("GET", "/healthz", "", "").0, 200, "others are served meanwhile");
    for stream in silent.into_iter().chain(headers) {
        assert_ne!(read_answer(stream).0, 200, "closed without an answer that means yes");
    }
    for stream in bodies {
        assert_eq!(read_answer(stream).0, 408);
    }
    assert_eq!(read_answer(idle).0, 200, "answered, and closed when nothing more came");
    assert!(server.stop().success());
}

#[test]
fn one_address_cannot_take_every_connection_r102() {
    let folder = folder();
    let server = start(folder.path(), &[("VESTIBULE_SERVER_MAX_CONNECTIONS_PER_ADDRESS", "3")]);
    let held: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream
        })
        .collect();
    let mut refused = TcpStream::connect(server.address).unwrap();
    drop(refused.write_all(request("GET", "/healthz", "", "").as_bytes()));
    let mut answer = Vec::new();
    let read = refused.read_to_end(&mut answer);
    assert!(answer.is_empty(), "closed without an answer: {read:?} {answer:?}");
    drop(held);
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let sent = stream.write_all(request("GET", "/healthz", "", "").as_bytes());
        let mut text = String::new();
        if sent.is_ok() && stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < patience, "room again when the others are gone");
    }
    assert!(server.stop().success());
}
