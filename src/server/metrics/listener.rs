//! The listener for scrapes. It serves one path and nothing else.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{
        Method, StatusCode,
        header::{ALLOW, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::Metrics;

const PATH: &str = "/metrics";
/// Connections at the same time.
const CONNECTIONS: usize = 16;
/// How long a connection may take. It serves one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves scrapes until it is cancelled.
pub async fn serve(listener: &TcpListener, metrics: &Arc<Metrics>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let metrics = Arc::clone(metrics);
        tokio::spawn(async move {
            drop(timeout(CONNECTION_TIMEOUT, connection(stream, metrics)).await);
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, metrics: Arc<Metrics>) {
    let answer = service_fn(move |request: hyper::Request<Incoming>| {
        let response = answer(&request.map(Body::new), &metrics);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut connection = http1::Builder::new();
    connection.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(CONNECTION_TIMEOUT);
    if let Err(cause) = connection.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%cause, "a scrape ended early");
    }
}

fn answer(request: &Request, metrics: &Arc<Metrics>) -> Response {
    if request.uri().path() != PATH {
        return (StatusCode::NOT_FOUND, "only /metrics is served here\n").into_response();
    }
    if request.method() != Method::GET {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET")]).into_response();
    }
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
