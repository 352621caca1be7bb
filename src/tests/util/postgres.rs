//! A PostgreSQL server for the tests, on loopback, in a temporary folder, which is removed when the test process ends.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, Executor, PgConnection};

use super::port::{ReservedPort, await_port};

/// Runs a server on the folder `$2` and reads commands from standard input. `kill` ends it and all its processes at
/// once, and `start` starts it again. The server stops when standard input ends, which happens however this process
/// ends.
const SUPERVISOR: &str = r#"
    start() {
        "$1/postgres" -D "$2" -h 127.0.0.1 -p "$3" -k "" $4 -c max_connections=400 -c shared_buffers=32MB \
            >>"$2.log" 2>&1 &
        server=$!
    }
    start "$@"
    while read -r order; do
        case $order in
            kill)
                # So that it starts no other processes meanwhile.
                kill -STOP $server
                others=$(cat /proc/$server/task/$server/children)
                kill -KILL $server $others
                wait $server 2>/dev/null
                # Until its last process is gone, its shared memory prevents another server from starting.
                for other in $others; do
                    while grep -qs '^State:.[^ZX]' "/proc/$other/status"; do sleep 0.01; done
                done
                ;;
            start) start "$@" ;;
        esac
        echo done
    done
    kill -INT $server
    wait $server
    rm -rf "$2" "$2.log"
"#;

/// A running PostgreSQL server, which stops with this value or with the process.
pub struct Cluster {
    port: ReservedPort,
    supervisor: Child,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// Starts a new server. With `durable`, its commits wait for the disk.
    pub fn new(durable: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let programs = programs();
        // In the system's temporary folder: the user who runs the server must be able to reach it.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("vestibule-postgres-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let user = unprivileged_user();
        if let Some(user) = &user {
            run(Command::new("chown").arg(user).arg(&folder));
        }
        let initdb = programs.join("initdb");
        run(as_user(user.as_deref(), initdb.to_str().unwrap())
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&folder));
        let port = ReservedPort::new();
        let mut supervisor = as_user(user.as_deref(), "/bin/sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .args([programs.as_os_str(), folder.as_os_str(), port.number().to_string().as_ref()])
            .arg(if durable { "-c fsync=on" } else { "-F" })
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(supervisor.stdout.take().unwrap());
        await_port(port.number());
        Self { port, supervisor, answers }
    }

    /// The URL of a new, empty database.
    pub async fn fresh_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let port = self.port.number();
        let name = format!("vestibule_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut admin = connect(&format!("postgres://postgres@127.0.0.1:{port}/postgres")).await;
        admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        admin.close().await.unwrap();
        format!("postgres://postgres@127.0.0.1:{port}/{name}")
    }

    /// Kills it immediately.
    pub fn kill(&mut self) {
        self.order("kill");
    }

    /// Starts it after it was killed.
    pub fn start(&mut self) {
        self.order("start");
    }

    /// Waits until it accepts connections.
    pub async fn await_start(&self) {
        await_port(self.port.number());
        connect(&format!("postgres://postgres@127.0.0.1:{}/postgres", self.port.number())).await.close().await.unwrap();
    }

    fn order(&mut self, order: &str) {
        writeln!(self.supervisor.stdin.as_mut().unwrap(), "{order}").unwrap();
        let mut done = String::new();
        self.answers.read_line(&mut done).unwrap();
        assert_eq!(done, "done\n");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        drop(self.supervisor.wait());
    }
}

/// The URL of a new, empty database on the one server that most tests share.
pub async fn fresh_database() -> String {
    // Never dropped: it stops when the process ends.
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    let shared = tokio::task::spawn_blocking(|| SHARED.get_or_init(|| Cluster::new(false))).await.unwrap();
    shared.fresh_database().await
}

/// Removes a database that [`fresh_database`] created.
pub async fn drop_database(url: &str) {
    let (server, name) = url.rsplit_once('/').unwrap();
    let mut admin = connect(&format!("{server}/postgres")).await;
    admin.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    admin.close().await.unwrap();
}

/// Connects, once the server has started up (SQLSTATE 57P03 until then).
async fn connect(url: &str) -> PgConnection {
    loop {
        match PgConnection::connect(url).await {
            Ok(connection) => return connection,
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("57P03") => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(e) => panic!("{url}: {e}"),
        }
    }
}

/// The folder with `initdb` and `postgres`.
fn programs() -> PathBuf {
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut candidates = configured.into_iter().chain(debian).chain(path);
    let found = candidates.find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    found.expect("PostgreSQL's server programs (initdb, postgres) are needed: apt-get install postgresql")
}

/// The user for PostgreSQL if the tests run as root, because it refuses to run as root.
fn unprivileged_user() -> Option<String> {
    rustix::process::geteuid().is_root().then(|| {
        let known = std::fs::read_to_string("/etc/passwd").unwrap();
        let user = if known.lines().any(|line| line.starts_with("postgres:")) { "postgres" } else { "nobody" };
        user.to_owned()
    })
}

fn as_user(user: Option<&str>, program: &str) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--clear-groups", "--"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let output = command.current_dir(Path::new("/")).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
