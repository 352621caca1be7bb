//! `make bench`: the benchmark.
//!
//! The release program and its baseline take turns on the same machine in the same run. The result is the median of
//! several rounds, because single measurements vary. wrk generates the loads on the same machine, so it uses processor
//! time on both sides.

mod bare;
mod fill;
mod load;
#[expect(clippy::unwrap_used, clippy::panic, reason = "shared with the tests; a benchmark may panic")]
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/util/program.rs"]
mod program;
mod report;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use self::{
    bare::Head,
    fill::{Filled, fill},
    load::{Figures, Kind, Load},
    program::{Server, program},
    report::{Report, median},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rounds of most comparisons. Odd, so that there is a median.
const ROUNDS: usize = 9;
/// Rounds of logins. The two sides are so close that the result is the mean of all rounds.
const LOGIN_ROUNDS: u32 = 10;
/// Memory of one hash with the default parameters, in MiB.
const HASH_MIB: f64 = 19.0;
const MANY_USERS: usize = 1_000_000;
const FEW_USERS: usize = 1_000;
/// Sessions and accounts that a load cycles through.
const SAMPLE: usize = 10_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", "same", recorded] => bare::serve(Path::new(recorded), Head::Same).map(|()| true),
        ["bare", "short", recorded] => bare::serve(Path::new(recorded), Head::Short).map(|()| true),
        [program, ref parts @ ..] => measure(Path::new(program), parts),
        _ => Err("pass the program to measure: vestibule-bench target/release/vestibule".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            eprintln!("vestibule-bench: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// The parts, in the order in which they run. The last two log in so often that the oldest sessions end. `sizes` uses
/// the tokens of those sessions, so it runs before.
const PARTS: [&str; 5] = ["start", "checks", "sizes", "logins", "flood"];

/// Measures some parts, or all if none is named.
fn measure(program: &Path, parts: &[&str]) -> Outcome<bool> {
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part)) {
        return Err(format!("there is no part called {unknown}; the parts are {}", PARTS.join(", ")).into());
    }
    let program = program.canonicalize()?;
    let folder = tempfile::tempdir()?;
    let permits = std::thread::available_parallelism()?.get().min(8);
    println!("{permits} hashes in parallel, as many as processors; median of {ROUNDS} rounds.\n");
    let mut report = Report::default();
    let bench = Bench { program, folder: folder.path().to_owned(), permits };
    let few = fill(&bench.program, &bench.folder.join("few"), FEW_USERS, SAMPLE)?;
    for part in PARTS.into_iter().filter(|part| parts.is_empty() || parts.contains(part)) {
        match part {
            "start" => bench.start_and_idle(&mut report)?,
            "checks" => bench.checks(&mut report, &few)?,
            "sizes" => bench.sizes(&mut report, &few)?,
            "logins" => bench.logins(&mut report, &few)?,
            _ => bench.flood(&mut report, &few)?,
        }
    }
    Ok(report.close())
}

struct Bench {
    program: PathBuf,
    folder: PathBuf,
    /// Parallel hashes, by the program's default.
    permits: usize,
}

impl Bench {
    /// Starts the program in a folder, with rate limits high enough for a load from one address.
    fn serve(&self, folder: &str) -> Server {
        let folder = self.folder.join(folder);
        let mut command = program(&self.program, &folder);
        command.env("VESTIBULE_RATE_LIMIT_LOGIN_BURST", "10000").env("VESTIBULE_RATE_LIMIT_LOGIN_PER_MINUTE", "60000");
        // One per microsecond, because all requests use a few tokens.
        command.env("VESTIBULE_RATE_LIMIT_TOKEN_CALLS_PER_MINUTE", "60000000");
        command.env("VESTIBULE_SERVER_MAX_CONNECTIONS_PER_ADDRESS", "4096");
        Server::start(&mut command, &folder.join("log"))
    }

    /// Measures the time from a start in an empty folder to the first response, and the memory of an idle server.
    fn start_and_idle(&self, report: &mut Report) -> Outcome<()> {
        let (mut starts, mut memory) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let folder = self.folder.join(format!("empty{round}"));
            fs::create_dir(&folder)?;
            let started = Instant::now();
            let server = Server::start(&mut program(&self.program, &folder), &folder.join("log"));
            let (status, _) = server.call("GET", "/login", "", "");
            starts.push(started.elapsed().as_secs_f64() * 1e3);
            if status != 200 {
                return Err(format!("the first response has the status {status}").into());
            }
            memory.push(mib(&server, "VmRSS")?);
        }
        let (start, memory) = (median(starts), median(memory));
        report.add(
            "start in an empty folder to first page",
            &format!("{start:.0} ms"),
            "at most 150 ms",
            start <= 150.0,
        );
        report.add("memory when idle", &format!("{memory:.1} MiB"), "at most 20 MiB", memory <= 20.0);
        Ok(())
    }

    /// Compares `GET me/` at full speed with bare handlers: one returns the same bytes, and one the same body with a
    /// short head. The three take turns in every round.
    fn checks(&self, report: &mut Report, few: &Filled) -> Outcome<()> {
        let server = self.serve("few");
        let token = fs::read_to_string(&few.tokens)?.lines().next().unwrap_or_default().to_owned();
        let (_, head, body) = server.exchange("GET", "/api/accounts/me/", &token, "");
        let recorded = self.folder.join("recorded");
        fs::write(&recorded, format!("{head}\r\n\r\n{body}"))?;
        let (same, short) = (self.bare(&recorded, Head::Same)?, self.bare(&recorded, Head::Short)?);
        let load = Load {
            kind: Kind::Me,
            lines: &few.tokens,
            connections: 32,
            pause: Duration::ZERO,
            duration: Duration::from_secs(2),
        };
        let lines = self.folder.join("access");
        fs::write(&lines, access_token(&server)?)?;
        let by_access = Load { lines: &lines, ..load };
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(Round {
                same: load.run(same.address)?.all_good()?,
                short: load.run(short.address)?.all_good()?,
                ours: load.run(server.address)?.all_good()?,
                by_access: by_access.run(server.address)?.all_good()?,
            });
        }
        let middle = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
        let our_rate = middle(|round| round.ours.rate());
        let (rate, ratio) = (middle(|round| round.same.rate()), middle(|round| round.ours.rate() / round.same.rate()));
        report.add(
            "GET me/, responses per second",
            &format!("{our_rate:.0}, bare handler {rate:.0}: {ratio:.2} of it"),
            "at least 0.95 of it",
            ratio >= 0.95,
        );
        let (rate, ratio) =
            (middle(|round| round.short.rate()), middle(|round| round.ours.rate() / round.short.rate()));
        report.add(
            "GET me/, compared with a short head",
            &format!("{our_rate:.0}, bare handler {rate:.0}: {ratio:.2} of it"),
            "at least 0.70 of it",
            ratio >= 0.7,
        );
        let ratio = middle(|round| round.ours.p99 / round.same.p99);
        let (bare_p99, our_p99) = (middle(|round| round.same.p99), middle(|round| round.ours.p99));
        report.add(
            "GET me/, 99th percentile",
            &format!("{:.2} ms, bare handler {:.2} ms: {ratio:.2} times", our_p99 / 1e3, bare_p99 / 1e3),
            "at most 2 times",
            ratio <= 2.0,
        );
        let (access_rate, ratio) =
            (middle(|round| round.by_access.rate()), middle(|round| round.by_access.rate() / round.ours.rate()));
        report.note(
            "    with a personal access token, per second",
            &format!("{access_rate:.0}: {ratio:.2} of a session's"),
        );
        Ok(())
    }

    /// Starts a bare handler that returns a recorded response.
    fn bare(&self, recorded: &Path, head: Head) -> Outcome<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", head.name()]).arg(recorded);
        Ok(Server::start(&mut command, &self.folder.join(format!("bare-{}.log", head.name()))))
    }

    /// Compares logins with the argon2 crate alone.
    fn logins(&self, report: &mut Report, few: &Filled) -> Outcome<()> {
        let server = self.serve("few");
        let load = self.log_ins(few);
        let (mut ours, mut bare) = (0.0, 0.0);
        for round in 0..LOGIN_ROUNDS {
            // The order alternates, so that a machine that gets faster or slower favours neither side.
            if round % 2 == 0 {
                bare += bare::hashes_a_second(self.permits, load.duration)?;
            }
            ours += load.run(server.address)?.all_good()?.rate();
            if round % 2 == 1 {
                bare += bare::hashes_a_second(self.permits, load.duration)?;
            }
        }
        let ratio = ours / bare;
        let (ours, bare) = (ours / f64::from(LOGIN_ROUNDS), bare / f64::from(LOGIN_ROUNDS));
        report.add(
            "logins per second",
            &format!("{ours:.1}, argon2 alone {bare:.1}: {ratio:.3} of it"),
            "at least 0.95 of it",
            ratio >= 0.95,
        );
        Ok(())
    }

    /// A load of logins that keeps every hashing thread busy, without filling the hashing queue.
    fn log_ins<'a>(&self, few: &'a Filled) -> Load<'a> {
        let connections = u32::try_from(16 * self.permits).unwrap_or(32).min(60);
        Load {
            kind: Kind::LogIn,
            lines: &few.logins,
            connections,
            pause: Duration::ZERO,
            duration: Duration::from_secs(4),
        }
    }

    /// Measures `GET me/` and the memory during four times as many login attempts as the server can process.
    fn flood(&self, report: &mut Report, few: &Filled) -> Outcome<()> {
        let server = self.serve("few");
        let idle_memory = mib(&server, "VmRSS")?;
        let able = self.log_ins(few).run(server.address)?.all_good()?.rate();
        let lines = self.folder.join("token");
        fs::write(&lines, token(&server)?)?;
        let visits = Load {
            kind: Kind::Me,
            lines: &lines,
            connections: 20,
            pause: Duration::from_millis(100),
            duration: Duration::from_secs(8),
        };
        let idle = visits.run(server.address)?.all_good()?;
        let pause = Duration::from_millis(1500);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
        let connections = (4.0 * able * pause.as_secs_f64()).ceil() as u32;
        let flood = Load { connections, pause, duration: Duration::from_secs(12), ..self.log_ins(few) };
        let flood = flood.start(server.address)?;
        // The flood reaches its full rate after the longest pause of its connections.
        std::thread::park_timeout(Duration::from_millis(2500));
        let flooded = visits.run(server.address)?.all_good()?;
        let flood = flood.finish()?;
        let bound = (4.0 * idle.p99).max(20_000.0);
        report.add(
            "GET me/ in a flood of logins, 99th percentile",
            &format!("{:.2} ms, idle {:.2} ms", flooded.p99 / 1e3, idle.p99 / 1e3),
            &format!("at most {:.0} ms", bound / 1e3),
            flooded.p99 <= bound,
        );
        let (offered, rate, broken) = (flood.offered(), flood.rate(), flood.broken);
        report.note(
            "    the flood, logins per second",
            &format!("{offered:.0} offered, {rate:.1} successful, {broken} failed; {able:.1} without it"),
        );
        let (peak, permits) = (mib(&server, "VmHWM")?, u32::try_from(self.permits)?);
        let bound = idle_memory + f64::from(permits) * HASH_MIB + 64.0;
        report.add(
            "memory in the flood",
            &format!("{peak:.1} MiB, idle {idle_memory:.1} MiB"),
            &format!("at most {bound:.1} MiB"),
            peak <= bound,
        );
        Ok(())
    }

    /// Compares a thousand accounts with a million, one request at a time. Tokens in use are checked from memory. The
    /// first check of a token since the start queries the database.
    fn sizes(&self, report: &mut Report, few: &Filled) -> Outcome<()> {
        println!("Filling a database with {MANY_USERS} accounts…");
        let many = fill(&self.program, &self.folder.join("many"), MANY_USERS, SAMPLE)?;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push((self.costs("few", few)?, self.costs("many", &many)?));
        }
        let middle = |of: &dyn Fn(&(Costs, Costs)) -> f64| median(rounds.iter().map(of).collect());
        let compare = |cost: fn(&Costs) -> f64| {
            let (few, many) = (middle(&|round| cost(&round.0)), middle(&|round| cost(&round.1)));
            let ratio = many / few;
            (format!("{:.3} ms, a thousand {:.3} ms: {ratio:.2} times", many / 1e3, few / 1e3), ratio)
        };
        for (what, cost) in
            [("check of a token", (|costs| costs.check) as fn(&Costs) -> f64), ("login", |costs| costs.login)]
        {
            let (measured, ratio) = compare(cost);
            report.add(&format!("one {what}, a million accounts"), &measured, "at most 1.15 times", ratio <= 1.15);
        }
        report.note("    a token's first check since the start", &compare(|costs| costs.first_check).0);
        Ok(())
    }

    fn costs(&self, folder: &str, filled: &Filled) -> Outcome<Costs> {
        let server = self.serve(folder);
        let second = Duration::from_secs(1);
        let login = Load { connections: 1, duration: second, ..self.log_ins(filled) };
        let check = Load { kind: Kind::Me, lines: &filled.tokens, ..login };
        let first_check = check.run(server.address)?.all_good()?.mean;
        Load { connections: 32, ..check }.run(server.address)?.all_good()?;
        let check = check.run(server.address)?.all_good()?.mean;
        Ok(Costs { first_check, check, login: login.run(server.address)?.all_good()?.mean })
    }
}

/// One round of checks of a token.
struct Round {
    /// The bare handler that returns the same bytes.
    same: Figures,
    /// The bare handler with a short head.
    short: Figures,
    /// The server, with session tokens.
    ours: Figures,
    /// The server, with a personal access token.
    by_access: Figures,
}

/// Mean latencies of sequential requests, in microseconds.
struct Costs {
    first_check: f64,
    check: f64,
    login: f64,
}

/// Logs in to the first account.
fn token(server: &Server) -> Outcome<String> {
    let login = format!(r#"{{"email":"user0","password":"{}"}}"#, fill::PASSWORD);
    let (_, response) = server.call("POST", "/api/accounts/api_auth/", "", &login);
    token_in(&response)
}

fn token_in(response: &str) -> Outcome<String> {
    let response: serde_json::Value = serde_json::from_str(response)?;
    Ok(response.get("token").and_then(serde_json::Value::as_str).ok_or("the response has no token")?.to_owned())
}

/// Creates a personal access token of the first account.
fn access_token(server: &Server) -> Outcome<String> {
    let request = r#"{"name":"bench","scope":"read","days":1}"#;
    let (_, response) = server.call("POST", "/api/accounts/tokens/", &token(server)?, request);
    token_in(&response)
}

/// The memory of the server's process, in MiB: `VmRSS` is the current value, `VmHWM` the peak.
fn mib(server: &Server, figure: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).ok_or("the process has no such figure")?;
    let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
