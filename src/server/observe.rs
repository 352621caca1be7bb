//! Who calls, and a line in the log for it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header::USER_AGENT},
    response::Response,
};
use tracing::Instrument;

use super::{client_ip::client_ip, state::Trust};
use crate::service::Caller;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The other end of a connection. The accept loop puts it into every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who looks at every request first, and at its answer last.
#[derive(Debug)]
pub struct Observer {
    trust: Arc<Trust>,
    run: String,
    count: AtomicU64,
}

impl Observer {
    /// `run` tells this start of the program from all others; requests are numbered within it.
    #[must_use]
    pub fn new(trust: Arc<Trust>, run: &str) -> Self {
        Self { trust, run: run.to_owned(), count: AtomicU64::new(0) }
    }

    /// Finds out who calls, numbers the request, and logs how it went. The path is never logged, only the route that
    /// it leads to: somebody may have put a secret into it.
    pub async fn observe(
        &self,
        mut request: Request,
        route: &str,
        answer: impl AsyncFnOnce(Request) -> Response,
    ) -> Response {
        let caller = self.caller(&request);
        request.extensions_mut().insert(caller);
        let id = format!("{}-{:x}", self.run, self.count.fetch_add(1, Ordering::Relaxed));
        let span = tracing::info_span!("request", %id);
        let method = request.method().clone();
        let started = Instant::now();
        let mut response = answer(request).instrument(span.clone()).await;
        let _in_span = span.enter();
        let status = response.status().as_u16();
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

    fn caller(&self, request: &Request) -> Caller {
        let peer = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let agent = request.headers().get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        Caller {
            address: client_ip(peer, request.headers(), &self.trust.proxies),
            agent: agent.unwrap_or_default().into_owned(),
        }
    }
}
