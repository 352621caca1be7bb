//! A request's body that records when it is complete.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::registry::Connection;

/// The incoming body of a request.
pub struct TrackedBody {
    body: Incoming,
    connection: Arc<Connection>,
}

impl TrackedBody {
    pub fn body(body: Incoming, connection: Arc<Connection>) -> Body {
        let tracked = Self { body, connection };
        tracked.record();
        Body::new(tracked)
    }

    fn record(&self) {
        if self.body.is_end_stream() {
            self.connection.complete();
        }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            // A chunked body is known to be complete only at its end.
            Poll::Ready(None) => self.connection.complete(),
            _ => self.record(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
