//! How the server stops, gracefully and otherwise.

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

/// A request with a body that the server waits for.
struct UnderWay {
    stream: TcpStream,
    body: String,
}

impl UnderWay {
    fn begin(server: &Server, path: &str, body: String) -> Self {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let head = request("POST", path, "", &body);
        let head = head.strip_suffix(&format!("\r\n\r\n{body}")).unwrap();
        stream.write_all(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes()).unwrap();
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream, body }
    }

    fn login(server: &Server) -> Self {
        Self::begin(server, "/api/accounts/api_auth/", format!(r#"{{"email":"ann","password":"{PASSWORD}"}}"#))
    }

    fn finish(mut self) {
        self.stream.write_all(self.body.as_bytes()).unwrap();
        let (status, _, answer) = read_answer(self.stream);
        assert_eq!(status, 200, "{answer}");
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

fn stop_accepting(server: &Server) {
    server.signal(Signal::TERM);
    wait_until("the server still accepts connections", || TcpStream::connect(server.address).is_err());
}

#[test]
fn a_signal_lets_requests_under_way_finish_r100() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    server.register();
    let login = UnderWay::login(&server);
    stop_accepting(&server);
    login.finish();
    let mut server = server;
    assert!(server.exit().success());
}

#[test]
fn mail_goes_out_while_requests_under_way_finish_r100() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    let mails = || std::fs::read_dir(folder.path().join("mail")).into_iter().flatten().count();
    server.register();
    wait_until("no mail arrives", || mails() == 1);
    let login = UnderWay::login(&server);
    let forgotten = r#"{"email":"ann@example.org"}"#.to_owned();
    let forgotten = UnderWay::begin(&server, "/api/accounts/forgot_password/", forgotten);
    stop_accepting(&server);
    forgotten.finish();
    wait_until("the mail is not sent during the stop", || mails() == 2);
    login.finish();
    assert!(server.exit().success());
}

#[test]
fn what_the_kernel_took_before_a_signal_is_answered_r100() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    // Connections and requests reach the kernel while the server is suspended.
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
    let _login = UnderWay::login(&server);
    stop_accepting(&server);
    server.signal(Signal::TERM);
    assert!(!server.exit().success());
}

#[test]
fn a_hangup_lets_requests_finish_unless_it_is_ignored_r100() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    server.register();
    let login = UnderWay::login(&server);
    server.signal(Signal::HUP);
    wait_until("the server still accepts connections", || TcpStream::connect(server.address).is_err());
    login.finish();
    assert!(server.exit().success());
    let mut shell = util::program::program(Path::new("nohup"), folder.path());
    let server = Server::start(shell.arg(env!("CARGO_BIN_EXE_vestibule")), &folder.path().join("log"));
    server.signal(Signal::HUP);
    assert_eq!(server.log_in().0, 200, "the server keeps running after its terminal closes");
    assert!(server.stop().success());
}
