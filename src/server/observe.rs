//! Who calls, and a line in the log for it: the outermost layer.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header::USER_AGENT},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use super::{client_ip::client_ip, state::Trust};
use crate::service::Caller;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The other end of a connection. The accept loop puts it into every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What the layer needs.
#[derive(Clone, Debug)]
pub struct Observer {
    trust: Arc<Trust>,
    run: Arc<str>,
    count: Arc<AtomicU64>,
}

impl Observer {
    /// `run` tells this start of the program from all others; requests are numbered within it.
    #[must_use]
    pub fn new(trust: Arc<Trust>, run: &str) -> Self {
        Self { trust, run: run.into(), count: Arc::default() }
    }
}

/// The layer itself: finds out who calls, numbers the request, and logs how it went. The path is never logged, only
/// the route that it matched: somebody may have put a secret into it.
pub async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let address = client_ip(peer, request.headers(), &observer.trust.proxies);
    let agent = request.headers().get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    request.extensions_mut().insert(Caller { address, agent: agent.unwrap_or_default() });
    let id = format!("{}-{:x}", observer.run, observer.count.fetch_add(1, Ordering::Relaxed));
    let span = tracing::info_span!("request", id = %id);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    async move {
        let started = Instant::now();
        let mut response = next.run(request).await;
        let (status, route) = (response.status().as_u16(), route.as_ref().map_or("unmatched", MatchedPath::as_str));
        let millis = started.elapsed().as_secs_f64() * 1000.0;
        if status >= 500 {
            tracing::warn!(%method, route, status, millis, "answered");
        } else {
            tracing::debug!(%method, route, status, millis, "answered");
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
    .instrument(span)
    .await
}
