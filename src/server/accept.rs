//! The loop that accepts connections, and the limits of a connection.
//!
//! `axum::serve` (0.8) has no timeout for a request's headers, so the server has a loop of its own. It speaks HTTP/1.1
//! only. It limits the number of connections, in total and per address, and the memory of all requests together. It has
//! a timeout for everything that a client may be slow at.

mod body;
mod registry;
mod timeout_stream;

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::extract::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use ipnet::IpNet;
use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use self::{
    body::TrackedBody,
    registry::{Connection, Registry},
    timeout_stream::{TimeoutStream, Timeouts},
};
use super::{config::ServerConfig, hourly::Hourly, pipeline::Pipeline};
use crate::{
    domain::user_agent::counted_networks,
    http::{client_ip::Peer, trust::Trust},
};

/// The size of a connection's buffer, in bytes. A request's headers must fit into it.
const BUFFER: usize = 16 * 1024;

/// The maximum memory of unanswered requests over all connections, in bytes: enough for a thousand of the largest, or
/// many more of the usual size.
const BUDGET: usize = 16 * 1024 * 1024;

/// Accepts connections until `stop` completes, then lets the requests in progress finish. Returns whether all of them
/// finished in time.
pub async fn serve(
    listener: TcpListener,
    pipeline: Pipeline,
    config: &ServerConfig,
    trust: Arc<Trust>,
    stop: impl Future<Output = ()> + Send,
) -> bool {
    let acceptor = Acceptor {
        pipeline: Arc::new(pipeline),
        timeouts: Timeouts {
            headers: config.header_timeout,
            idle: config.idle_timeout,
            answer: config.response_timeout,
        },
        graceful: GracefulShutdown::new(),
        addresses: Arc::new(Addresses { most: config.max_connections_per_address, trust, open: Mutex::default() }),
        slots: Arc::new(Semaphore::new(config.max_connections as usize)),
        registry: Registry::new(BUDGET),
        failures: Hourly::default(),
    };
    acceptor.accept_until(&listener, stop).await;
    stop_accepting(&listener);
    acceptor.accept_until(&listener, sleep(DRAIN_WINDOW)).await;
    acceptor.accept_remaining(listener);
    timeout(config.stop_timeout, acceptor.graceful.shutdown()).await.is_ok()
}

/// The state that connections share.
struct Acceptor {
    pipeline: Arc<Pipeline>,
    timeouts: Timeouts,
    graceful: GracefulShutdown,
    addresses: Arc<Addresses>,
    slots: Arc<Semaphore>,
    registry: Arc<Registry>,
    failures: Hourly,
}

impl Acceptor {
    async fn accept_until(&self, listener: &TcpListener, end: impl Future<Output = ()> + Send) {
        let mut end = pin!(end);
        loop {
            let (stream, peer) = tokio::select! {
                () = &mut end => return,
                accepted = self.next_connection(listener) => accepted,
            };
            let Some(address) = Addresses::enter(&self.addresses, peer.ip()) else {
                tracing::debug!("an address has too many connections open");
                continue;
            };
            // An accepted connection is served even if the loop ends in the meantime.
            let (slot, ended) = tokio::select! {
                () = &mut end => (None, true),
                slot = self.slot() => (slot, false),
            };
            self.serve(stream, peer, (address, slot));
            if ended {
                return;
            }
        }
    }

    async fn next_connection(&self, listener: &TcpListener) -> (TcpStream, SocketAddr) {
        loop {
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(cause) if is_clients(&cause) => tracing::debug!(%cause, "a client closed its connection"),
                Err(cause) => {
                    self.failures.warn(|left_out| {
                        tracing::warn!(%cause, left_out, "a connection could not be accepted");
                    });
                    let closed = is_out_of_files(&cause) && self.registry.close_longest_waiting();
                    sleep(Duration::from_millis(if closed { 1 } else { 100 })).await;
                }
            }
        }
    }

    /// Waits for a slot for a new connection. If all are taken, the connection that has kept the server waiting longest
    /// is closed.
    async fn slot(&self) -> Option<Slot> {
        loop {
            if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                return Some(slot);
            }
            // Closing takes a moment. None can be closed while the server handles requests of all, so that is retried.
            let closed = self.registry.close_longest_waiting();
            let limit = Duration::from_millis(if closed { 2000 } else { 100 });
            let freed = Arc::clone(&self.slots).acquire_owned();
            if let Ok(slot) = timeout(limit, freed).await {
                return slot.ok();
            }
        }
    }

    /// Accepts the connections that are still queued in the kernel, then closes the listener.
    fn accept_remaining(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            match (stream, Addresses::enter(&self.addresses, peer.ip())) {
                (Ok(stream), Some(address)) => self.serve(stream, peer, (address, None)),
                (Err(cause), _) => tracing::warn!(%cause, "a connection could not be accepted"),
                (_, None) => tracing::debug!("an address has too many connections open"),
            }
        }
    }

    /// Serves a connection. The connection occupies its slot, and counts for its address, until it ends.
    fn serve(&self, stream: TcpStream, peer: SocketAddr, taken: (Counted, Option<Slot>)) {
        let registered = self.registry.register();
        let connection = connection(stream, peer, Arc::clone(&self.pipeline), self.timeouts, Arc::clone(&registered));
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(cause) = ended {
                    tracing::debug!(%cause, "a connection ended early");
                },
                () = registered.closed() => tracing::debug!("a connection was closed to make room"),
            }
            drop(taken);
        });
    }
}

/// How long connections in the TCP handshake may take to complete, once new ones are refused: a few round trips.
const DRAIN_WINDOW: Duration = Duration::from_millis(250);

/// Prevents new connections, so that the listener can be closed safely.
///
/// Closing the listener resets connections that are in the handshake or not yet accepted, and their clients may already
/// have sent a request. So no handshake may be in progress then. A client that connects now gets no reply. It retries
/// after a second, as after a lost packet, and is refused.
fn stop_accepting(listener: &TcpListener) {
    // Classic BPF, run on the TCP header of each packet to the listener (RFC 9293, section 3.1). A packet with the SYN
    // flag in byte 13 is dropped; any other is accepted.
    #[cfg(target_os = "linux")]
    {
        const LOAD_BYTE: u16 = 0x30;
        const JUMP_IF_SET: u16 = 0x45;
        const RETURN: u16 = 0x06;
        let filter = [
            socket2::SockFilter::new(LOAD_BYTE, 0, 0, 13),
            socket2::SockFilter::new(JUMP_IF_SET, 0, 1, 0x02),
            socket2::SockFilter::new(RETURN, 0, 0, 0),
            socket2::SockFilter::new(RETURN, 0, 0, u32::MAX),
        ];
        if let Err(cause) = socket2::SockRef::from(listener).attach_filter(&filter) {
            tracing::debug!(%cause, "can't filter new connections");
        }
    }
}

type Slot = tokio::sync::OwnedSemaphorePermit;

/// Whether the client caused an error of `accept`.
fn is_clients(cause: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(cause.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether the process or the system has no file descriptors left. Each connection needs one.
fn is_out_of_files(cause: &io::Error) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    cause.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    pipeline: Arc<Pipeline>,
    timeouts: Timeouts,
    registered: Arc<Connection>,
) -> http1::Connection<
    TokioIo<TimeoutStream<TcpStream>>,
    impl hyper::service::Service<
        Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    > + use<>,
> {
    // A response is one small write; waiting to fill a packet would only delay it.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "can't set TCP_NODELAY");
    }
    let stream = TimeoutStream::new(stream, Arc::clone(&registered), timeouts);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = registered.answer();
        let mut request = request.map(|body| TrackedBody::body(body, Arc::clone(&registered)));
        request.extensions_mut().insert(Peer(peer));
        let pipeline = Arc::clone(&pipeline);
        async move {
            let response = pipeline.handle(request).await;
            drop(answering);
            Ok(response)
        }
    });
    http1::Builder::new().max_buf_size(BUFFER).serve_connection(TokioIo::new(stream), service)
}

/// The number of open connections per IPv4 address or IPv6 network.
#[derive(Debug)]
struct Addresses {
    most: u32,
    trust: Arc<Trust>,
    open: Mutex<HashMap<IpNet, u32>>,
}

/// A connection that is counted for its address until it is dropped.
#[derive(Debug)]
struct Counted {
    addresses: Arc<Addresses>,
    networks: Vec<(IpNet, u32)>,
}

impl Addresses {
    fn enter(this: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let trusted = this.trust.is_proxy(address);
        let networks = counted_networks(address);
        let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |(network, times): &(IpNet, u32)| {
            open.get(network).is_some_and(|count| *count >= this.most.saturating_mul(*times))
        };
        if !trusted && networks.iter().any(full) {
            return None;
        }
        for (network, _) in &networks {
            *open.entry(*network).or_default() += 1;
        }
        Some(Counted { addresses: Arc::clone(this), networks })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (network, _) in &self.networks {
            if let Some(count) = open.get_mut(network) {
                *count -= 1;
                if *count == 0 {
                    open.remove(network);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_may_use_every_connection_r102() {
        let trust = Trust { proxies: vec!["::1/128".parse().expect("a network")], ..Trust::default() };
        let addresses = Arc::new(Addresses { most: 1, trust: Arc::new(trust), open: Mutex::default() });
        let enter = |address: &str| Addresses::enter(&addresses, address.parse().expect("an address"));
        let (_first, _second) = (enter("::1"), enter("2001:db8::1"));
        assert!(enter("::1").is_some());
        assert!(enter("2001:db8::2").is_none(), "a network of IPv6 counts as one address");
    }

    #[test]
    fn wider_ipv6_networks_have_their_own_connection_limit_r102() {
        let addresses = Arc::new(Addresses { most: 2, trust: Arc::default(), open: Mutex::default() });
        let enter = |address: String| Addresses::enter(&addresses, address.parse().expect("an address"));
        let home: Vec<_> = (0..6).map(|lan| enter(format!("2001:db8:0:{lan}::1"))).collect();
        assert_eq!(home.iter().flatten().count(), 4, "a /56 has twice as many");
        let site: Vec<_> = (1..20).map(|home| enter(format!("2001:db8:0:{home:x}00::1"))).collect();
        assert_eq!(home.iter().chain(&site).flatten().count(), 16, "a /48 has eight times as many");
        drop((home, site));
        assert!(addresses.open.lock().is_ok_and(|open| open.is_empty()));
    }
}
