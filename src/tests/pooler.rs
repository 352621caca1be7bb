//! PostgreSQL behind a pooler that assigns connections per transaction.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use tempfile::TempDir;
use vestibule::store::{DatabaseUrl, Store};

use crate::util::{
    App, Backend, PASSWORD, Response,
    actors::Client,
    port::{ReservedPort, await_port},
    postgres::fresh_database,
};

/// A running PgBouncer, which stops when this value is dropped.
struct Pooler {
    process: Child,
    port: ReservedPort,
    _folder: TempDir,
}

impl Pooler {
    /// Starts a PgBouncer in transaction mode in front of a database server. It has fewer connections than its clients
    /// need.
    fn start(server: &str, more_settings: &str) -> Self {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("PgBouncer is needed: apt-get install pgbouncer");
        let (folder, port) = (tempfile::tempdir().unwrap(), ReservedPort::new());
        let (host, server_port) = server.rsplit_once(':').unwrap();
        let users = folder.path().join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let settings = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = 3\n{more_settings}\n",
            port.number(),
            users.display()
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let mut command = if rustix::process::geteuid().is_root() {
            // PgBouncer refuses to run as root.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(folder.path(), open).unwrap();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", program]);
            command
        } else {
            Command::new(program)
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = command.arg(file).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        await_port(port.number());
        Self { process, port, _folder: folder }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Returns the URL of a new database behind a new pooler.
async fn fresh_database_behind_pooler(settings: &str) -> (String, Pooler) {
    let url = fresh_database().await;
    let (server, name) = url.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap();
    let pooler = Pooler::start(server, settings);
    (format!("postgres://postgres@127.0.0.1:{}/{name}", pooler.port.number()), pooler)
}

/// Uses two servers on one database at the same time.
async fn assert_two_servers_work(url: &str) {
    let app = App::start_with(Backend::Postgres, |config| {
        config.database.url = DatabaseUrl::parse(url).unwrap();
        config.database.connections = 8;
        config.password.hashing_queue = 500;
        config.password.hashing_timeout = Duration::from_mins(1);
        config.rate_limit.account_free_failures = 1000;
    })
    .await;
    let sibling = app.sibling().await;
    let ann = app.register("ann").await;
    let phone = ann.log_in().await;
    let users = [ann, sibling.user("ann")];
    let phones = [phone.clone(), sibling.device(&phone.token)];
    let logins = join_all((0..24).map(|number| users[number % 2].try_log_in(PASSWORD).send()));
    let checks = join_all((0..200).map(|number| phones[number % 2].get("me/").send()));
    let (logins, checks) = tokio::join!(logins, checks);
    assert_all_succeeded("logins", &logins);
    assert_all_succeeded("checks of the session", &checks);
    app.maintenance.unwrap().sweep_all().await.unwrap();
}

#[track_caller]
fn assert_all_succeeded(what: &str, responses: &[Response]) {
    let failed: Vec<_> = responses.iter().filter(|response| response.status != 200).collect();
    assert!(failed.is_empty(), "{what}: {} of {} failed: {:?}", failed.len(), responses.len(), failed.first());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_serves_several_servers() {
    let (url, _pooler) = fresh_database_behind_pooler("").await;
    Box::pin(assert_two_servers_work(&url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_may_ignore_unknown_startup_parameters() {
    let (url, _pooler) = fresh_database_behind_pooler("ignore_startup_parameters = extra_float_digits,options").await;
    Box::pin(assert_two_servers_work(&url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_a_schema_in_the_url_is_rejected() {
    let (url, _pooler) = fresh_database_behind_pooler("").await;
    let with_schema = DatabaseUrl::parse(&format!("{url}?options=-c%20search_path%3Dx")).unwrap();
    let error = Store::open(&with_schema, 1).await.unwrap_err().to_string();
    assert!(error.contains("behind a pooler"), "{error}");
    // The schema can be set for the database's role instead.
    assert!(error.contains("ALTER ROLE"), "{error}");
}
