//! The open connections: the memory that each holds, and which one is closed at a limit.
//!
//! If all slots are taken, the connection whose client has kept the server waiting longest is closed. If unanswered
//! requests take too much memory, the connection with the largest is closed. In both cases, clients that send requests
//! of the usual size without delay, and read the responses, are still served.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use tokio::sync::Notify;

/// The maximum memory of one connection, in bytes: a request's headers in hyper's buffer, and its body.
const MAX_PER_CONNECTION: usize = 2 * super::BUFFER;

/// The open connections.
#[derive(Debug)]
pub struct Registry {
    /// The maximum bytes of unanswered requests over all connections.
    budget: usize,
    held: AtomicUsize,
    begun: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Weak<Connection>>,
}

/// An open connection, registered until it is dropped.
#[derive(Debug)]
pub struct Connection {
    registry: Arc<Registry>,
    number: u64,
    /// Since when the server has waited for the client, in microseconds of the registry's time. Milliseconds would be
    /// too coarse to order many connections.
    since: AtomicU64,
    /// Bytes of requests without a response.
    held: AtomicUsize,
    /// Bytes of the last read, which may contain the beginning of a next request.
    last: AtomicUsize,
    /// Whether a request is being handled.
    answering: AtomicBool,
    /// Whether the current request has arrived completely.
    whole: AtomicBool,
    /// Whether a request has been handled since the last response was sent.
    answered: AtomicBool,
    closed: AtomicBool,
    close: Notify,
}

/// Marks a request as being handled until it is dropped.
#[derive(Debug)]
pub struct Answering(Arc<Connection>);

impl Registry {
    pub fn new(budget: usize) -> Arc<Self> {
        Arc::new(Self { budget, held: AtomicUsize::new(0), begun: Instant::now(), open: Mutex::default() })
    }

    /// Registers a new connection.
    pub fn register(self: &Arc<Self>) -> Arc<Connection> {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        let connection = Arc::new(Connection {
            registry: Arc::clone(self),
            number,
            since: AtomicU64::new(self.now()),
            held: AtomicUsize::new(0),
            last: AtomicUsize::new(0),
            answering: AtomicBool::new(false),
            whole: AtomicBool::new(true),
            answered: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            close: Notify::new(),
        });
        open.connections.insert(number, Arc::downgrade(&connection));
        connection
    }

    /// Closes the connection whose client has kept the server waiting longest. Returns `false` if there is none.
    pub fn close_longest_waiting(&self) -> bool {
        let waiting = self.waiting();
        let longest = waiting.iter().min_by_key(|one| (one.since.load(Relaxed), one.number));
        longest.map(|longest| longest.close()).is_some()
    }

    /// Closes the connections with the largest requests until the others fit into the budget. A request below one
    /// connection's share of the budget is never closed.
    fn make_room(&self) {
        while self.held.load(Relaxed) > self.budget {
            let waiting = self.waiting();
            let Some(largest) = waiting.iter().max_by_key(|one| (one.held.load(Relaxed), one.number)) else { return };
            largest.close();
        }
    }

    fn waiting(&self) -> Vec<Arc<Connection>> {
        let open: Vec<_> = self.open().connections.values().filter_map(Weak::upgrade).collect();
        open.into_iter().filter(|one| one.waits()).collect()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    // The map is consistent at every moment, so a poisoned lock is harmless.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Whether the server waits for the client.
    fn waits(&self) -> bool {
        let answering = self.answering.load(Relaxed) && self.whole.load(Relaxed);
        !answering && !self.closed.load(Relaxed)
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
        self.hold(0);
        self.close.notify_one();
    }

    /// Completes when the connection must be closed.
    pub async fn closed(&self) {
        self.close.notified().await;
    }

    fn hold(&self, bytes: usize) {
        let before = self.held.swap(bytes, Relaxed);
        self.registry.held.fetch_add(bytes.wrapping_sub(before), Relaxed);
    }

    /// Records bytes that have arrived. Returns whether the connection stays open.
    pub fn received(&self, bytes: usize) -> bool {
        if self.closed.load(Relaxed) {
            return false;
        }
        self.whole.store(false, Relaxed);
        self.last.store(bytes, Relaxed);
        self.hold((self.held.load(Relaxed) + bytes).min(MAX_PER_CONNECTION));
        self.registry.make_room();
        !self.closed.load(Relaxed)
    }

    /// Records that the server waits for the client from this moment.
    pub fn start_waiting(&self) {
        self.since.store(self.registry.now(), Relaxed);
    }

    /// Marks a request as being handled.
    pub fn answer(self: &Arc<Self>) -> Answering {
        self.answering.store(true, Relaxed);
        Answering(Arc::clone(self))
    }

    /// Records that the current request has arrived completely.
    pub fn complete(&self) {
        self.whole.store(true, Relaxed);
    }

    /// Whether the current request has arrived completely.
    pub fn is_whole(&self) -> bool {
        self.whole.load(Relaxed)
    }

    /// Whether a request is being handled.
    pub fn is_answering(&self) -> bool {
        self.answering.load(Relaxed)
    }

    /// Records that all output was sent. The memory of earlier requests is free then. Only the bytes of the last read
    /// may still be held, because they may contain the beginning of a next request.
    pub fn sent(&self) {
        if !self.closed.load(Relaxed) && self.answered.swap(false, Relaxed) {
            self.hold(self.held.load(Relaxed).min(self.last.load(Relaxed)));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Self(connection) = self;
        connection.answering.store(false, Relaxed);
        connection.answered.store(true, Relaxed);
        connection.start_waiting();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hold(0);
        self.registry.open().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    /// A connection that has waited for its client since a time.
    fn waiting(registry: &Arc<Registry>, since: u64) -> Arc<Connection> {
        let connection = registry.register();
        connection.since.store(since, Relaxed);
        connection
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.closed.load(Relaxed)
    }

    #[test]
    fn the_connection_that_has_waited_longest_is_closed_r102() {
        let registry = Registry::new(KIB);
        let [late, early, busy] = [30, 20, 10].map(|since| waiting(&registry, since));
        let _answering = busy.answer();
        assert!(registry.close_longest_waiting());
        assert_eq!([&late, &early, &busy].map(|one| is_closed(one)), [false, true, false]);
        assert!(!early.received(1), "the connection is closed");
        assert!(registry.close_longest_waiting() && is_closed(&late));
        assert!(!registry.close_longest_waiting() && !is_closed(&busy), "the server is busy with this request");
    }

    #[test]
    fn a_connection_that_awaits_a_body_counts_as_waiting_r102() {
        let registry = Registry::new(KIB);
        let slow = registry.register();
        assert!(slow.received(100));
        let _answering = slow.answer();
        assert!(registry.close_longest_waiting() && is_closed(&slow));
    }

    #[test]
    fn requests_share_one_memory_budget_r80_r102() {
        let registry = Registry::new(40 * KIB);
        let clients = [1, 2, 3].map(|since| waiting(&registry, since));
        for client in &clients {
            assert!(client.received(12 * KIB));
        }
        assert!(clients[1].received(4 * KIB), "exactly the budget");
        assert!(clients[2].received(KIB));
        assert_eq!(
            clients.each_ref().map(|one| is_closed(one)),
            [false, true, false],
            "the connection with the largest request is closed"
        );
        assert_eq!(registry.held.load(Relaxed), 25 * KIB);
        drop(clients);
        assert_eq!((registry.held.load(Relaxed), registry.open().connections.len()), (0, 0));
    }

    #[test]
    fn a_connection_over_the_whole_budget_is_closed_r80_r102() {
        let registry = Registry::new(KIB);
        let (fresh, greedy) = (waiting(&registry, 5), waiting(&registry, 1));
        assert!(fresh.received(10));
        assert!(!greedy.received(2 * KIB) && !is_closed(&fresh));
        assert_eq!(registry.held.load(Relaxed), 10);
    }

    #[test]
    fn a_finished_request_frees_all_but_its_last_bytes_r102() {
        let registry = Registry::new(40 * KIB);
        let client = registry.register();
        assert!(client.received(9 * KIB) && client.received(KIB));
        client.sent();
        assert_eq!(registry.held.load(Relaxed), 10 * KIB, "no request has a response yet");
        drop(client.answer());
        client.sent();
        assert_eq!(registry.held.load(Relaxed), KIB, "a next request may have begun");
        for _ in 0..10 {
            assert!(client.received(12 * KIB));
        }
        assert_eq!(registry.held.load(Relaxed), MAX_PER_CONNECTION, "the memory of one connection is limited");
    }
}
