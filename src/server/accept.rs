//! The loop that accepts connections, and what one connection may take of the server.
//!
//! `axum::serve` (0.8) sets no limit on how slowly a request's headers may arrive, so this loop is ours: HTTP/1.1
//! only, a cap on connections in all and from one address, and a time for each thing that a client may be slow at.

mod patient;

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};

use self::patient::{Busy, Patience, PatientStream};
use super::{client_ip::Peer, config::ServerConfig, front::Front, state::Trust};

/// Accepts connections until `stop` is done, then lets the requests under way finish.
/// Returns whether all of them did in time.
pub async fn serve(
    listener: TcpListener,
    front: Front,
    config: &ServerConfig,
    trust: Arc<Trust>,
    stop: impl Future<Output = ()> + Send,
) -> bool {
    let patience =
        Patience { headers: config.header_timeout, idle: config.idle_timeout, answer: config.answer_timeout };
    let front = Arc::new(front);
    let mut stop = pin!(stop);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(config.max_connections as usize));
    let addresses = Arc::new(Addresses { most: config.max_connections_per_address, trust, open: Mutex::default() });
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = stream;
        let Some(address) = Addresses::enter(&addresses, peer.ip()) else {
            tracing::debug!("an address has too many connections open");
            continue;
        };
        let connection = graceful.watch(connection(stream, peer, Arc::clone(&front), patience));
        tokio::spawn(async move {
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "a connection ended early");
            }
            drop((place, address));
        });
    }
    drop(listener);
    tokio::time::timeout(config.stop_timeout, graceful.shutdown()).await.is_ok()
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// The next connection, when there is room for one. Until then new ones wait in the kernel's queue.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> ((TcpStream, Option<Place>), SocketAddr) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return ((stream, place), peer),
            Err(cause) => {
                // Most often the process is out of file descriptors; some will be free again soon.
                tracing::warn!(%cause, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    patience: Patience,
) -> http1::Connection<
    TokioIo<PatientStream>,
    impl hyper::service::Service<
        Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    > + use<>,
> {
    // An answer is one small write; waiting to fill a packet would only delay it.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "TCP_NODELAY could not be set");
    }
    let busy = Busy::default();
    let stream = PatientStream::new(stream, busy.clone(), patience);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = busy.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let front = Arc::clone(&front);
        async move {
            let answer = front.answer(request).await;
            drop(answering);
            Ok(answer)
        }
    });
    http1::Builder::new().max_buf_size(32 * 1024).serve_connection(TokioIo::new(stream), service)
}

/// Connections open from each address, or network of IPv6.
#[derive(Debug)]
struct Addresses {
    most: u32,
    trust: Arc<Trust>,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection from an address, counted until it is dropped.
#[derive(Debug)]
struct Entered {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    fn enter(this: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let address = network_of(address);
        let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= this.most && !this.trust.proxies.iter().any(|network| network.contains(&address)) {
            return None;
        }
        *count += 1;
        Some(Entered { addresses: Arc::clone(this), address })
    }
}

/// An IPv6 customer has a whole /64 to choose from, so that is one; see also how throttles count.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
