//! Mail by SMTP, to a server that listens on loopback, with and without TLS.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use vestibule::{
    mail::{MailUrl, Mailer, SmtpOptions, TlsMode},
    service::{MailMessage, MailTransport as _, SendError},
};

use crate::util::{App, Backend, mail_capture::token_of};

/// How a server behaves.
#[derive(Clone, Default)]
struct Behavior {
    /// Whether its replies have no text.
    bare: bool,
    /// Extensions that it offers besides STARTTLS.
    offers: &'static [&'static str],
    tls: Option<TlsAcceptor>,
    /// Whether connections begin with TLS.
    tls_at_once: bool,
    /// A step, and the reply that replaces the usual one there.
    answer: Option<(&'static str, &'static str)>,
    /// Whether it repeats that reply without end.
    floods: bool,
    /// A step after which the server sends nothing, and the handle that it notifies at that step.
    stall: Option<(&'static str, Arc<Notify>)>,
}

impl Behavior {
    /// Waits forever at the step at which this server stops replying. Steps are commands, and those below.
    async fn reach(&self, step: &str) {
        if let Some((stall, reached)) = &self.stall
            && *stall == step
        {
            reached.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// The reply at a step, as a line.
    fn answer(&self, step: &str, usual: &str) -> String {
        let own = self.answer.filter(|(other, _)| *other == step);
        if let Some((_, answer)) = own.filter(|_| self.floods) {
            // A client that reads the whole reply finds invalid text, and reports another error.
            return answer.repeat(FLOOD / answer.len()) + "\r\n";
        }
        let answer = own.map_or(usual, |(_, answer)| answer);
        if self.bare { format!("{}\r\n", &answer[..3]) } else { format!("{answer}\r\n") }
    }
}

const GREETING: &str = "greeting";
const HANDSHAKE: &str = "handshake";
const END_OF_MAIL: &str = "end of mail";
/// Bytes that a flooding server sends.
const FLOOD: usize = 4 * 1024 * 1024;

/// What a server received.
#[derive(Default)]
struct Received {
    /// Commands, with a mark on those that came through TLS.
    commands: Vec<String>,
    mails: Vec<String>,
}

struct MailServer {
    port: u16,
    received: Arc<Mutex<Received>>,
}

impl MailServer {
    async fn start(behavior: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, received) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Received::default())));
        let log = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that rejects the certificate has closed the connection.
                drop(serve(stream, &behavior, &log).await);
            }
        });
        Self { port, received }
    }

    /// Its URL, with a login or without.
    fn url(&self, scheme: &str, login_and_host: &str) -> String {
        format!("{scheme}://{login_and_host}:{}", self.port)
    }

    /// The commands since the last call.
    fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.received.lock().unwrap().commands)
    }

    fn mails(&self) -> Vec<String> {
        std::mem::take(&mut self.received.lock().unwrap().mails)
    }
}

async fn serve(stream: TcpStream, behavior: &Behavior, received: &Mutex<Received>) -> std::io::Result<()> {
    let Some(tls) = &behavior.tls else { return serve_commands(stream, behavior, received, false).await.map(drop) };
    if behavior.tls_at_once {
        return serve_commands(tls.accept(stream).await?, behavior, received, true).await.map(drop);
    }
    match serve_commands(stream, behavior, received, false).await? {
        Some(plain) => {
            behavior.reach(HANDSHAKE).await;
            serve_commands(tls.accept(plain).await?, behavior, received, true).await.map(drop)
        }
        None => Ok(()),
    }
}

/// Serves a connection until it ends, or until TLS begins. In that case it returns the stream.
async fn serve_commands<S>(
    stream: S,
    behavior: &Behavior,
    received: &Mutex<Received>,
    encrypted: bool,
) -> std::io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    if !encrypted || behavior.tls_at_once {
        behavior.reach(GREETING).await;
        stream.write_all(behavior.answer(GREETING, "220 a test").as_bytes()).await?;
    }
    let (mut line, mut mail) = (String::new(), None::<String>);
    loop {
        line.clear();
        stream.flush().await?;
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if let Some(body) = &mut mail {
            if line != ".\r\n" {
                body.push_str(line.strip_prefix('.').unwrap_or(&line));
                continue;
            }
            received.lock().unwrap().mails.extend(mail.take());
            behavior.reach(END_OF_MAIL).await;
            stream.write_all(behavior.answer(END_OF_MAIL, "250 taken").as_bytes()).await?;
            continue;
        }
        let command = line.trim_end().to_owned();
        received.lock().unwrap().commands.push(if encrypted { format!("TLS {command}") } else { command.clone() });
        let step = command.split([' ', ':']).next().unwrap();
        behavior.reach(step).await;
        let text = |usual: &str| behavior.answer(step, usual);
        let answer = match step {
            "EHLO" if behavior.answer.is_none_or(|(step, _)| step != "EHLO") => {
                let starttls = (behavior.tls.is_some() && !encrypted).then_some("STARTTLS");
                let offers = behavior.offers.iter().copied().chain(starttls);
                // Only the reply to EHLO must have a text (RFC 5321, section 4.1.1.1).
                offers.fold("250-a test\r\n".to_owned(), |all, offer| format!("{all}250-{offer}\r\n"))
                    + "250 8BITMIME\r\n"
            }
            "STARTTLS" => text("220 go on"),
            "AUTH" if command == "AUTH LOGIN" => text("334 VXNlcm5hbWU6"),
            "EHLO" | "MAIL" | "RCPT" => text("250 fine"),
            "DATA" => {
                let answer = text("354 go on");
                mail = answer.starts_with("354").then(String::new);
                answer
            }
            "QUIT" => text("221 bye"),
            "YW5u" => text("334 UGFzc3dvcmQ6"),
            _ => text("235 welcome"),
        };
        stream.write_all(answer.as_bytes()).await?;
        if command == "STARTTLS" {
            stream.flush().await?;
            return Ok(Some(stream.into_inner()));
        }
    }
}

/// Certificates that `openssl` creates.
struct Certificates(TempDir);

impl Certificates {
    /// Runs `openssl` command lines in a temporary folder.
    fn make(lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("names"), "subjectAltName = IP:127.0.0.1\n").unwrap();
        for line in lines {
            let made = Command::new("openssl").args(line.split(' ')).current_dir(folder.path()).output().unwrap();
            assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
        }
        Self(folder)
    }

    /// A certificate as on a private mail server. Its name differs from every address of the server.
    fn self_signed() -> Self {
        Self::make(&["req -x509 -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.pem -days 2 -subj /CN=mail.home"])
    }

    /// A CA with a P-256 key, which signs a server's RSA key with SHA-512.
    fn by_a_ca() -> Self {
        Self::make(&[
            "ecparam -name prime256v1 -genkey -noout -out ca.key",
            "req -x509 -new -key ca.key -sha512 -subj /CN=ca -days 2 -out ca.pem",
            "req -new -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=mail -out leaf.csr",
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -sha512 -days 2 -extfile names -out leaf.pem",
        ])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn acceptor(&self) -> TlsAcceptor {
        let chain = CertificateDer::pem_file_iter(self.path("leaf.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(self.path("leaf.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
    }
}

/// A mail to ann.
async fn message() -> MailMessage {
    let app = App::start(Backend::Sqlite).await;
    app.register("ann").await;
    app.deliver_one().await
}

/// Sends a mail to the server at a URL.
async fn send(message: &MailMessage, url: &str, tls: TlsMode, ca_file: Option<&Path>) -> Result<String, SendError> {
    let options = SmtpOptions { tls, ca_file, hello: "accounts.example.org".to_owned() };
    let from = "Vestibule <no-reply@example.org>".parse().unwrap();
    let mailer = Mailer::new(&MailUrl::parse(url).unwrap(), &from, options).unwrap().unwrap();
    mailer.send("the-id", message).await
}

/// Checks an error's cause, and that another attempt may succeed.
#[track_caller]
fn assert_temporary(error: &SendError, cause: &str) {
    assert!(error.cause.contains(cause), "{error:?}");
    assert!(!error.permanent, "{error:?}");
}

#[tokio::test]
async fn a_server_that_replies_with_bare_codes_gets_the_mail() {
    let server = MailServer::start(Behavior { bare: true, ..Behavior::default() }).await;
    let message = Box::pin(message()).await;
    send(&message, &server.url("smtp", "127.0.0.1"), TlsMode::Required, None).await.unwrap();
    let commands = server.commands();
    let expected =
        ["EHLO accounts.example.org", "MAIL FROM:<no-reply@example.org>", "RCPT TO:<ann@example.org>", "DATA", "QUIT"];
    assert_eq!(commands, expected);
    let mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert!(mails[0].contains("Message-ID: <the-id@example.org>"), "{}", mails[0]);
    assert!(mails[0].contains(&format!("#{}", token_of(&message))), "{}", mails[0]);
}

#[tokio::test]
async fn only_the_configured_self_signed_certificate_is_trusted() {
    let (mine, other, message) = (Certificates::self_signed(), Certificates::self_signed(), Box::pin(message()).await);
    let behavior = Behavior { tls: Some(mine.acceptor()), tls_at_once: true, ..Behavior::default() };
    let server = MailServer::start(behavior).await;
    let url = server.url("smtps", "127.0.0.1");
    for ca_file in [None, Some(other.path("leaf.pem"))] {
        let refused = send(&message, &url, TlsMode::Required, ca_file.as_deref()).await.unwrap_err();
        assert_temporary(&refused, "certificate");
    }
    assert!(server.commands().is_empty(), "no command was sent");
    send(&message, &url, TlsMode::Required, Some(&mine.path("leaf.pem"))).await.unwrap();
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn a_private_ca_with_p256_and_sha512_is_trusted_for_its_names() {
    let (mine, other, message) = (Certificates::by_a_ca(), Certificates::by_a_ca(), Box::pin(message()).await);
    let behavior = Behavior { tls: Some(mine.acceptor()), tls_at_once: true, ..Behavior::default() };
    let server = MailServer::start(behavior).await;
    for (host, ca_file) in [("127.0.0.1", None), ("127.0.0.1", Some(&other)), ("localhost", Some(&mine))] {
        let ca_file = ca_file.map(|ca| ca.path("ca.pem"));
        let refused = send(&message, &server.url("smtps", host), TlsMode::Required, ca_file.as_deref()).await;
        assert!(refused.is_err_and(|refused| refused.cause.contains("certificate")), "{host}, {ca_file:?}");
    }
    let ca_file = mine.path("ca.pem");
    send(&message, &server.url("smtps", "127.0.0.1"), TlsMode::Required, Some(&ca_file)).await.unwrap();
    assert_eq!(server.mails().len(), 1);
}

/// The loopback address in IPv6 notation, which the program treats as another machine.
const ELSEWHERE: &str = "[::ffff:127.0.0.1]";

#[tokio::test]
async fn without_starttls_mail_and_password_are_sent_only_if_allowed() {
    let (mine, message) = (Certificates::self_signed(), Box::pin(message()).await);
    let offers: &[&str] = &["AUTH PLAIN LOGIN"];
    let with = MailServer::start(Behavior { tls: Some(mine.acceptor()), offers, ..Behavior::default() }).await;
    let without = MailServer::start(Behavior { offers, ..Behavior::default() }).await;
    let send = async |server: &MailServer, tls: TlsMode, login: &str| {
        let url = server.url("smtp", &format!("{login}{ELSEWHERE}"));
        send(&message, &url, tls, Some(&mine.path("leaf.pem"))).await.map(drop).map_err(|refused| refused.cause)
    };
    let secret = "ann:a%20secret@";
    for login in ["", secret] {
        for tls in [TlsMode::Required, TlsMode::Opportunistic] {
            assert_eq!(send(&with, tls, login).await, Ok(()), "{tls:?}");
            let commands = with.commands();
            assert!(commands[..2] == ["EHLO accounts.example.org", "STARTTLS"], "{commands:?}");
            assert!(commands[2..].iter().all(|command| command.starts_with("TLS ")), "{commands:?}");
        }
        let refused = send(&without, TlsMode::Required, login).await.unwrap_err();
        assert!(refused.contains("STARTTLS"), "{refused}");
        assert_eq!(without.commands(), ["EHLO accounts.example.org"]);
    }

    assert_eq!(send(&without, TlsMode::Opportunistic, "").await, Ok(()));
    without.commands();
    let refused = send(&without, TlsMode::Opportunistic, secret).await.unwrap_err();
    assert!(refused.contains("the password was not sent"), "{refused}");
    assert_eq!(without.commands(), ["EHLO accounts.example.org"]);

    assert_eq!(send(&without, TlsMode::None, secret).await, Ok(()));
    assert_eq!(without.commands()[1], "AUTH PLAIN AGFubgBhIHNlY3JldA==");
    assert_eq!(send(&with, TlsMode::None, "").await, Ok(()), "mail.tls = none doesn't use STARTTLS");
    assert!(with.commands().iter().all(|command| !command.contains("TLS")));
}

/// `vestibule doctor` checks the mail server that way.
#[tokio::test]
async fn a_check_logs_in_and_sends_no_mail() {
    let check = async |server: &MailServer| {
        let url = MailUrl::parse(&server.url("smtp", "ann:secret@localhost")).unwrap();
        let options = SmtpOptions { tls: TlsMode::None, ca_file: None, hello: "localhost".to_owned() };
        let from = "Vestibule <no-reply@example.org>".parse().unwrap();
        Mailer::new(&url, &from, options).unwrap().unwrap().check().await
    };
    let offers: &[&str] = &["AUTH PLAIN"];
    let server = MailServer::start(Behavior { offers, ..Behavior::default() }).await;
    check(&server).await.unwrap();
    let commands = server.commands();
    let words: Vec<&str> = commands.iter().filter_map(|command| command.split_whitespace().next()).collect();
    assert_eq!((words, server.mails().len()), (vec!["EHLO", "AUTH", "QUIT"], 0));
    let server = MailServer::start(Behavior { offers, answer: Some(("AUTH", "535 no")), ..Behavior::default() }).await;
    let error = check(&server).await.unwrap_err();
    assert!(error.cause.contains("rejected the login with 535"), "{}", error.cause);
}

#[tokio::test]
async fn auth_login_replaces_plain_and_a_rejection_shows_no_text() {
    let message = Box::pin(message()).await;
    let behavior = Behavior {
        offers: &["AUTH LOGIN"],
        answer: Some(("RCPT", "550 no ann@example.org here")),
        ..Behavior::default()
    };
    let server = MailServer::start(behavior).await;
    let url = server.url("smtp", "ann:secret12@127.0.0.1");
    let refused = send(&message, &url, TlsMode::Required, None).await.unwrap_err();
    assert_eq!(refused.cause, "the mail server replied 550");
    assert!(refused.permanent);
    let commands = server.commands();
    assert_eq!(commands[1..4], ["AUTH LOGIN", "YW5u", "c2VjcmV0MTI="], "{commands:?}");

    let without = MailServer::start(Behavior::default()).await;
    let url = without.url("smtp", "ann:secret12@127.0.0.1");
    let refused = send(&message, &url, TlsMode::Required, None).await.unwrap_err();
    assert_temporary(&refused, "offers no login by PLAIN or LOGIN");
}

#[tokio::test]
async fn a_server_that_stops_replying_is_given_up_within_the_lease() {
    let (mine, message) = (Certificates::self_signed(), Box::pin(message()).await);
    let ca_file = mine.path("leaf.pem");
    let steps = [GREETING, "EHLO", "STARTTLS", HANDSHAKE, "AUTH", "MAIL", "RCPT", "DATA", END_OF_MAIL, "QUIT"];
    for step in steps {
        let reached = Arc::new(Notify::new());
        let stall = Some((step, Arc::clone(&reached)));
        let behavior = Behavior { tls: Some(mine.acceptor()), offers: &["AUTH PLAIN"], stall, ..Behavior::default() };
        let server = MailServer::start(behavior).await;
        let url = server.url("smtp", &format!("ann:secret12@{ELSEWHERE}"));
        let mut sending = Box::pin(send(&message, &url, TlsMode::Required, Some(&ca_file)));
        tokio::select! {
            done = &mut sending => panic!("{step}: {done:?}"),
            () = reached.notified() => {}
        }
        // From here on, the clock advances only while all tasks wait.
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        let done = sending.await;
        let waited = start.elapsed();
        tokio::time::resume();
        assert!(
            waited < Duration::from_mins(10),
            "{step}: another worker may try after ten minutes, this took {waited:?}"
        );
        match done {
            // The server has accepted the mail before this step.
            Ok(_) => assert_eq!(step, "QUIT"),
            Err(refused) => {
                assert_ne!(step, "QUIT", "{refused:?}");
                assert_eq!(refused.cause, "the mail server took too long", "{step}");
                assert!(!refused.permanent, "{step}: {refused:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_a_temporary_error_at_each_step() {
    let (mine, message) = (Certificates::self_signed(), Box::pin(message()).await);
    let ca_file = mine.path("leaf.pem");
    let floods = [
        (GREETING, "220-x\r\n"),
        (GREETING, "220-\r\n"),
        (GREETING, "220 a line without an end, "),
        ("EHLO", "250-SIZE\r\n"),
        ("EHLO", "550-x\r\n"),
        ("EHLO", "250 a line without an end, "),
        ("STARTTLS", "220-x\r\n"),
        ("AUTH", "235-x\r\n"),
        ("MAIL", "250-x\r\n"),
        ("RCPT", "550-x\r\n"),
        ("DATA", "354-x\r\n"),
        (END_OF_MAIL, "550-x\r\n"),
    ];
    for tls_at_once in [false, true] {
        for (step, answer) in floods.into_iter().filter(|(step, _)| !(tls_at_once && *step == "STARTTLS")) {
            let (tls, answer, offers) = (Some(mine.acceptor()), Some((step, answer)), &["AUTH PLAIN"]);
            let server =
                MailServer::start(Behavior { tls, tls_at_once, answer, offers, floods: true, ..Behavior::default() })
                    .await;
            let scheme = if tls_at_once { "smtps" } else { "smtp" };
            let url = server.url(scheme, &format!("ann:secret12@{ELSEWHERE}"));
            let refused = send(&message, &url, TlsMode::Required, Some(&ca_file)).await.unwrap_err();
            // The client rejects long lines and long replies to EHLO with another error.
            let cause = if step == "EHLO" || answer.is_some_and(|(_, line)| line.contains("without an end")) {
                "the mail server closed the connection, sent too much data, or doesn't speak SMTP on this port"
            } else {
                "the mail server sent too much data"
            };
            assert_eq!(refused.cause, cause, "{answer:?}, {tls_at_once}");
            assert!(!refused.permanent, "{answer:?}, {tls_at_once}");
        }
    }
}

#[tokio::test]
async fn only_a_rejected_recipient_or_mail_is_a_permanent_error() {
    let message = Box::pin(message()).await;
    let table = [
        (GREETING, "421 later", false),
        (GREETING, "554 no service", false),
        ("EHLO", "550 not under this name", false),
        ("MAIL", "451 later", false),
        ("MAIL", "550 no such sender", false),
        ("MAIL", "553 not your address", false),
        ("RCPT", "450 come again", false),
        ("RCPT", "554 not now", false),
        ("RCPT", "550 nobody", true),
        ("DATA", "451 later", false),
        (END_OF_MAIL, "452 full", false),
        (END_OF_MAIL, "550 not wanted", true),
    ];
    for (step, answer, permanent) in table {
        let server = MailServer::start(Behavior { answer: Some((step, answer)), ..Behavior::default() }).await;
        let url = server.url("smtp", "127.0.0.1");
        let refused = send(&message, &url, TlsMode::Required, None).await.unwrap_err();
        assert_eq!(refused.cause, format!("the mail server replied {}", &answer[..3]), "{step}: {answer}");
        assert_eq!(refused.permanent, permanent, "{step}: {answer}");
    }
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_if_an_offered_starttls_fails() {
    let (mine, message) = (Certificates::self_signed(), Box::pin(message()).await);
    let known = mine.path("leaf.pem");
    let table = [
        (Some(("STARTTLS", "454 not now")), Some(&known), "replied 454"),
        (None, None, "certificate"),
        // Plaintext after the reply is ignored (CVE-2011-0411). Inside TLS, this server offers no AUTH.
        (Some(("STARTTLS", "220 go on\r\n250-a test\r\n250 AUTH PLAIN")), Some(&known), "offers no login"),
    ];
    for (answer, ca_file, cause) in table {
        for tls in [TlsMode::Required, TlsMode::Opportunistic] {
            let server =
                MailServer::start(Behavior { tls: Some(mine.acceptor()), answer, ..Behavior::default() }).await;
            let url = server.url("smtp", &format!("ann:secret12@{ELSEWHERE}"));
            let refused = send(&message, &url, tls, ca_file.map(PathBuf::as_path)).await.unwrap_err();
            assert_temporary(&refused, cause);
            let commands = server.commands();
            assert_eq!(commands[..2], ["EHLO accounts.example.org", "STARTTLS"]);
            assert!(commands[2..].iter().all(|command| command.starts_with("TLS EHLO")), "{tls:?}: {commands:?}");
            assert!(server.mails().is_empty());
        }
    }
}
