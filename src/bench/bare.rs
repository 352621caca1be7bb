//! The baselines of the benchmark: handlers that return the same body without any work, and argon2 alone.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, Version};
use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue},
    routing::get,
};

use crate::Outcome;

/// The head of a bare handler's response.
#[derive(Clone, Copy, Debug)]
pub enum Head {
    /// All headers of the recorded response.
    Same,
    /// Only the type of the body, besides the headers that hyper adds itself.
    Short,
}

impl Head {
    /// The argument that selects it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Short => "short",
        }
    }

    fn has(self, name: &str) -> bool {
        let by_hyper = ["content-length", "date", "connection"].contains(&name);
        !by_hyper && (matches!(self, Self::Same) || name == "content-type")
    }
}

/// Serves a recorded response with `axum::serve` and one handler. Prints its address, and never returns.
pub fn serve(recorded: &Path, kept: Head) -> Outcome<()> {
    let recorded = std::fs::read_to_string(recorded)?;
    let (head, body) = recorded.split_once("\r\n\r\n").ok_or("the recorded response has no end of its head")?;
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").ok_or("a recorded header has no value")?;
        if kept.has(name) {
            headers.append(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
        }
    }
    let body: &'static str = body.to_owned().leak();
    let handler = async move || (headers, body);
    let router = Router::new().route("/api/accounts/me/", get(handler));
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("The bare handler is ready: http://{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

/// Measures hashes per second of the argon2 crate alone, with the default parameters, on a number of threads.
pub fn hashes_a_second(threads: usize, duration: Duration) -> Outcome<f64> {
    let params = Params::new(19_456, 2, 1, Some(32)).map_err(|cause| cause.to_string())?;
    let started = Instant::now();
    let counts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| hash_until(started + duration, &params))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(Err("a hashing thread panicked".to_owned()))).sum()
    });
    let count: Result<u32, String> = counts;
    Ok(f64::from(count?) / started.elapsed().as_secs_f64())
}

fn hash_until(end: Instant, params: &Params) -> Result<u32, String> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut tag = [0; 32];
    let mut count = 0;
    while Instant::now() < end {
        argon2.hash_password_into(b"tidal marmot kettle", &[7; 16], &mut tag).map_err(|cause| cause.to_string())?;
        count += 1;
    }
    Ok(count)
}
