//! A connection that is given up when its client takes too long.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// How long a client may take over each thing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To send a request's headers, from their first byte (for the first request, from the beginning).
    pub headers: Duration,
    /// To send the first byte of a further request.
    pub idle: Duration,
    /// To take more of an answer.
    pub answer: Duration,
}

/// Whether a request is being answered: only then is it not the client's turn.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicBool>);

/// Says that a request is being answered, for as long as it lives.
#[derive(Debug)]
pub struct Answering(Busy);

impl Busy {
    /// Begins to answer a request.
    pub fn begin(&self) -> Answering {
        self.0.store(true, Ordering::Relaxed);
        Answering(self.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// The stream. It asks for the time only where a client keeps it waiting, for most never do.
#[derive(Debug)]
pub struct PatientStream {
    stream: TcpStream,
    busy: Busy,
    patience: Patience,
    read: Turn,
    write: Turn,
}

impl PatientStream {
    pub fn new(stream: TcpStream, busy: Busy, patience: Patience) -> Self {
        // The first request's time begins with the connection.
        let read = Turn { by: Some(Instant::now() + patience.headers), begun: true, alarm: None };
        Self { stream, busy, patience, read, write: Turn::default() }
    }

    fn written<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.write.by = None;
            // Whoever takes the answer is not idle yet, and what they had to say has been heard.
            (self.read.by, self.read.begun) = (None, false);
            return polled;
        }
        self.write.poll_over(cx, self.patience.answer).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The client's turn to do something.
#[derive(Debug, Default)]
struct Turn {
    /// When it is over, if it has begun.
    by: Option<Instant>,
    /// Whether the client has begun to do it.
    begun: bool,
    /// Rings at the turn's end, or before: it is put off only when it rings, not at each turn.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Turn {
    /// Done when the turn is over. One that has not begun begins now.
    fn poll_over(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<()> {
        let by = *self.by.get_or_insert_with(|| Instant::now() + patience);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(by)));
        if by < alarm.deadline() {
            alarm.as_mut().reset(by);
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= by {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(by);
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Self { busy, patience, read, .. } = &mut *self;
        if busy.0.load(Ordering::Relaxed) {
            (read.by, read.begun) = (None, false);
            return polled;
        }
        if polled.is_ready() {
            if !read.begun {
                (read.by, read.begun) = (Some(Instant::now() + patience.headers), true);
            }
            return polled;
        }
        read.poll_over(cx, patience.idle).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // After an answer hyper doesn't try to read until something arrives. So the next request's time begins here;
        // when it is over, the alarm makes hyper try, and `poll_read` say so.
        if !self.busy.0.load(Ordering::Relaxed) {
            let idle = self.patience.idle;
            let _waits = self.read.poll_over(cx, idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
