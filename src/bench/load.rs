//! Loads, made by wrk.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::Deserialize;

use crate::Outcome;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench/load.lua");

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `GET me/`; the file holds a token on each line.
    Me,
    /// `POST api_auth/`; the file holds a body on each line.
    LogIn,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// What is asked.
    pub kind: Kind,
    /// What each request says, a line for each.
    pub lines: &'a Path,
    /// Connections, each with one request at a time.
    pub connections: u32,
    /// How long a connection pauses before each request, on average.
    pub pause: Duration,
    /// How long it goes on.
    pub duration: Duration,
}

/// What came of a load. Latencies are in microseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Figures {
    requests: u64,
    refused: u64,
    /// Connections refused or broken, and requests without an answer.
    pub broken: u64,
    micros: u64,
    /// Mean latency.
    pub mean: f64,
    /// The 99th percentile of the latency.
    pub p99: f64,
}

impl Figures {
    /// Requests a second, answered in whatever way.
    pub fn offered(&self) -> f64 {
        rate(self.requests, self.micros)
    }

    /// Requests a second that were answered with success.
    pub fn rate(&self) -> f64 {
        rate(self.requests - self.refused.min(self.requests), self.micros)
    }

    /// Fails unless every request was answered with success.
    pub fn all_good(self) -> Outcome<Self> {
        if self.refused + self.broken > 0 {
            return Err(format!("{} requests were refused and {} broke off", self.refused, self.broken).into());
        }
        Ok(self)
    }
}

#[expect(clippy::cast_precision_loss, reason = "both stay far under 2^52")]
fn rate(requests: u64, micros: u64) -> f64 {
    requests as f64 * 1e6 / micros.max(1) as f64
}

/// A load that goes on in the background.
pub struct Running(Child);

impl Load<'_> {
    /// Begins the load.
    pub fn start(&self, server: SocketAddr) -> Outcome<Running> {
        let kind = match self.kind {
            Kind::Me => "me",
            Kind::LogIn => "login",
        };
        let child = Command::new("wrk")
            .args(["--threads", "1", "--timeout", "10s", "--script", SCRIPT])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.duration.as_secs())])
            .arg(format!("http://{server}"))
            .args(["--", kind])
            .arg(self.lines)
            .arg(self.pause.as_millis().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|cause| format!("wrk can't be run: {cause}"))?;
        Ok(Running(child))
    }

    /// Runs the load to its end.
    pub fn run(&self, server: SocketAddr) -> Outcome<Figures> {
        self.start(server)?.finish()
    }
}

impl Running {
    /// Waits for the load's end.
    pub fn finish(self) -> Outcome<Figures> {
        let output = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with('{'));
        let line = line.ok_or_else(|| format!("wrk ended with {} and said: {text}", output.status))?;
        Ok(serde_json::from_str(line)?)
    }
}
