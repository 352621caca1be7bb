//! Stopping while clients write, and replacing servers one by one under load.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::*;
use crate::{
    chaos::Stop,
    util::{
        client::{self, Failure, Whole},
        postgres,
    },
};

/// Runs clients that log in to each server in turn until `meanwhile` ends. When a server refuses the connection, they
/// use the next one. `meanwhile` sees the number of responses. Returns the failures, and the number of responses.
fn in_turn(addresses: &Mutex<Vec<SocketAddr>>, meanwhile: impl FnOnce(&AtomicUsize)) -> (Vec<String>, usize) {
    let (over, turn) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (faults, answers) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let request = || {
        for _ in 0..1000 {
            let address = {
                let addresses = addresses.lock().unwrap();
                addresses[turn.fetch_add(1, Ordering::Relaxed) % addresses.len()]
            };
            match client::log_in(address, "ann") {
                Err(Failure::Refused) => thread::yield_now(),
                outcome => return outcome,
            }
        }
        Err(Failure::Refused)
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match request() {
                        Ok(Whole { status: 200, .. }) => {}
                        Ok(Whole { status, body }) => faults.lock().unwrap().push(format!("{status} {body}")),
                        Err(failure) => faults.lock().unwrap().push(format!("{failure:?}")),
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stop = Stop(&over);
        meanwhile(&answers);
    });
    (faults.into_inner().unwrap(), answers.into_inner())
}

#[test]
fn a_rolling_restart_of_three_servers_fails_no_request_r100() {
    let url = Runtime::new().unwrap().block_on(postgres::fresh_database());
    let folders = [folder(), folder(), folder()];
    let start = |n: usize| {
        let mut command = crate::chaos::command(folders[n].path());
        Server::start(command.env("DATABASE_URL", &url), &folders[n].path().join("log"))
    };
    let mut servers = [start(0), start(1), start(2)];
    servers[0].register();
    let addresses = Mutex::new(servers.iter().map(|server| server.address).collect::<Vec<_>>());
    let (faults, answers) = in_turn(&addresses, |answers| {
        for round in 0..6 {
            let before = answers.load(Ordering::Relaxed);
            let n = round % 3;
            servers[n].signal(Signal::TERM);
            assert!(servers[n].exit().success());
            servers[n] = start(n);
            addresses.lock().unwrap()[n] = servers[n].address;
            let deadline = Instant::now() + Duration::from_mins(1);
            while answers.load(Ordering::Relaxed) < before + 8 {
                assert!(Instant::now() < deadline, "no request is answered any more");
                thread::yield_now();
            }
        }
    });
    assert!(faults.is_empty(), "of {answers} requests: {faults:#?}");
}

#[test]
fn a_signal_under_load_breaks_off_no_request_r100() {
    let folder = folder();
    let mut server = Server::start(&mut crate::chaos::command(folder.path()), &folder.path().join("log"));
    server.register();
    let (broken, answers) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let deadline = Instant::now() + Duration::from_mins(1);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // The client stops when the server refuses its connection.
                loop {
                    assert!(Instant::now() < deadline, "the server still accepts requests");
                    match client::log_in(server.address, "ann") {
                        Ok(Whole { status: 200, .. }) => drop(answers.fetch_add(1, Ordering::Relaxed)),
                        Err(Failure::Refused) => return,
                        other => return broken.lock().unwrap().push(format!("{other:?}")),
                    }
                }
            });
        }
        while answers.load(Ordering::Relaxed) < 20 && broken.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        server.signal(Signal::TERM);
    });
    assert_eq!(broken.into_inner().unwrap(), Vec::<String>::new(), "every accepted request gets a response");
    assert!(server.exit().success());
}
