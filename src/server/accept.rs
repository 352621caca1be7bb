//! The loop that accepts connections, and what one connection may take of the server.
//!
//! `axum::serve` (0.8) sets no limit on how slowly a request's headers may arrive, so this loop is ours: HTTP/1.1
//! only, a cap on connections in all and from one address, and a time for each thing that a client may be slow at.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep, sleep, sleep_until},
};
use tower::ServiceExt;

use super::{config::ServerConfig, observe::Peer, state::Trust};

/// Accepts connections until `stop` is done, then lets the requests under way finish.
/// Returns whether all of them did in time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &ServerConfig,
    trust: Arc<Trust>,
    stop: impl Future<Output = ()> + Send,
) -> bool {
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
        let connection = graceful.watch(connection(stream, peer, router.clone(), config));
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
    router: Router,
    config: &ServerConfig,
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
    let busy = Arc::new(AtomicBool::new(false));
    let stream = PatientStream::new(stream, Arc::clone(&busy), config.header_timeout, config.answer_timeout);
    let service = service_fn(move |request: Request<Incoming>| {
        let guard = Busy::new(Arc::clone(&busy));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let answer = router.clone().oneshot(request);
        async move {
            let answer = answer.await;
            drop(guard);
            answer
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle_timeout)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service)
}

/// Connections open from each address.
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
        let address = address.to_canonical();
        let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= this.most && !this.trust.proxies.iter().any(|network| network.contains(&address)) {
            return None;
        }
        *count += 1;
        Some(Entered { addresses: Arc::clone(this), address })
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

/// Tells the stream that a request is being answered, for as long as it lives.
#[derive(Debug)]
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn new(flag: Arc<AtomicBool>) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A stream that gives up on a client which takes too long over a request's headers, counted from their first byte
/// (from the beginning for the first request), or over taking an answer. Hyper's own timer bounds the time between
/// requests.
#[derive(Debug)]
struct PatientStream {
    stream: TcpStream,
    busy: Arc<AtomicBool>,
    headers: Duration,
    answer: Duration,
    read_by: Option<Pin<Box<Sleep>>>,
    write_by: Option<Pin<Box<Sleep>>>,
}

impl PatientStream {
    fn new(stream: TcpStream, busy: Arc<AtomicBool>, headers: Duration, answer: Duration) -> Self {
        let read_by = Some(Box::pin(sleep_until(Instant::now() + headers)));
        Self { stream, busy, headers, answer, read_by, write_by: None }
    }

    fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let answer = self.answer;
        let by = self.write_by.get_or_insert_with(|| Box::pin(sleep(answer)));
        ready!(by.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.busy.load(Ordering::Relaxed) {
            self.read_by = None;
            return polled;
        }
        if polled.is_ready() && buffer.filled().len() > before && self.read_by.is_none() {
            let headers = self.headers;
            self.read_by = Some(Box::pin(sleep(headers)));
        }
        if self.read_by.as_mut().is_some_and(|by| by.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(done) => {
                self.write_by = None;
                Poll::Ready(done)
            }
            Poll::Pending => self.poll_write_deadline(cx).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, slices) {
            Poll::Ready(done) => {
                self.write_by = None;
                Poll::Ready(done)
            }
            Poll::Pending => self.poll_write_deadline(cx).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
