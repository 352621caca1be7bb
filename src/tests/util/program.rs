//! The real program as a process, for the tests and for the benchmark.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running server. It is killed when it is dropped.
pub struct Server {
    pub process: Child,
    pub address: SocketAddr,
}

/// The program in a folder, listening on a free port, without the configuration in the environment.
pub fn program(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let is_configuration =
        |name: &std::ffi::OsString| name.to_string_lossy().starts_with("VESTIBULE_") || name == "DATABASE_URL";
    for name in std::env::vars_os().map(|(name, _)| name).filter(is_configuration) {
        command.env_remove(name);
    }
    command.current_dir(folder).env("VESTIBULE_SERVER_ADDRESS", "127.0.0.1:0");
    command
}

impl Server {
    /// Starts a command that serves, and waits until it prints its address. Its log goes into the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(file).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("http://").next().unwrap();
        let address = address.parse().unwrap_or_else(|_| panic!("{line:?}: {}", std::fs::read_to_string(log).unwrap()));
        Self { process, address }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Stops it gracefully.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exit()
    }

    /// Waits for its end, which must come within a minute.
    #[expect(clippy::disallowed_methods, reason = "no async thread waits here")]
    pub fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends one request on a new connection. Returns the status and the body.
    pub fn call(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let (status, _, body) = self.exchange(method, path, token, body);
        (status, body)
    }

    /// Sends one request on a new connection. Returns the status, the head and the body.
    pub fn exchange(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request(method, path, token, body).as_bytes()).unwrap();
        read_answer(stream)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The text of a request that closes the connection after its response.
pub fn request(method: &str, path: &str, token: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads to the connection's end: the status, the head and the body. The status is 0 without a response.
pub fn read_answer(mut stream: TcpStream) -> (u16, String, String) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head.to_owned(), body.to_owned())
}
