//! PostgreSQL behind a pooler that assigns connections per transaction.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use vestibule::store::{DatabaseUrl, Store};

use crate::util::{
    App, Backend, PASSWORD,
    postgres::{await_port, free_port, fresh_database},
};

/// A running PgBouncer, which stops when this value is dropped.
struct Pooler {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Starts a PgBouncer in transaction mode in front of a database server, with fewer connections than its clients need.
fn pooler(server: &str, more: &str) -> Pooler {
    let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
    let program = program.expect("PgBouncer is needed: apt-get install pgbouncer");
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let (host, server_port) = server.rsplit_once(':').unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "\"postgres\" \"\"\n").unwrap();
    let settings = format!(
        "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 3\n{more}\n",
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
    await_port(port);
    Pooler { process, port, _folder: folder }
}

/// A new database behind a new pooler.
async fn behind(more: &str) -> (String, Pooler) {
    let url = fresh_database().await;
    let (server, name) = url.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap();
    let pooler = pooler(server, more);
    (format!("postgres://postgres@127.0.0.1:{}/{name}", pooler.port), pooler)
}

async fn works(url: &str) {
    let app = App::start_with(Backend::Postgres, |config| {
        config.database.url = DatabaseUrl::parse(url).unwrap();
        config.database.connections = 8;
        config.password.hashing_queue = 500;
        config.password.hashing_timeout = std::time::Duration::from_mins(1);
        config.rate_limit.account_free_failures = 1000;
    })
    .await;
    let sibling = app.sibling().await;
    app.register("ann").await;
    let token = app.token("ann").await;
    let logins = futures_util::future::join_all((0..24).map(|n| {
        let server = if n % 2 == 0 { &app } else { &sibling };
        server.log_in("ann", PASSWORD)
    }));
    let checks =
        futures_util::future::join_all((0..200).map(|n| if n % 2 == 0 { app.me(&token) } else { sibling.me(&token) }));
    let (logins, checks) = tokio::join!(logins, checks);
    let failed: Vec<_> = logins.iter().filter(|answer| answer.status != 200).collect();
    assert!(failed.is_empty(), "{} of 24: {:?}", failed.len(), failed.first());
    assert!(checks.iter().all(|status| *status == 200), "{checks:?}");
    let mut maintenance = app.maintenance.unwrap();
    maintenance.sweep_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_serves_several_servers() {
    let (url, _pooler) = behind("").await;
    Box::pin(works(&url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_drops_unknown_options_works_as_well() {
    let (url, _pooler) = behind("ignore_startup_parameters = extra_float_digits,options").await;
    Box::pin(works(&url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_ones_own_is_set_for_the_role_behind_a_pooler() {
    let (url, _pooler) = behind("").await;
    let refused = Store::open(&DatabaseUrl::parse(&format!("{url}?options=-c%20search_path%3Dx")).unwrap(), 1).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("behind a pooler") && refused.contains("ALTER ROLE"), "{refused}");
}
