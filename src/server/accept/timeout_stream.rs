//! A stream that fails with a timeout if its client is too slow.

use std::{
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::registry::Connection;

/// How long a client may take for each step.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To send a request's headers, from their first byte. For the first request, from the start of the connection.
    pub headers: Duration,
    /// To send the first byte of a further request.
    pub idle: Duration,
    /// To read a response that doesn't fit into the kernel's buffers. Each [`SLOWEST`] bytes of it add a second.
    pub answer: Duration,
}

/// The minimum rate at which a client must read a response, in bytes per second, once it keeps the server waiting.
const SLOWEST: u64 = 4096;

/// How long, and how many bytes, a client may continue to send a request that got its response early.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// The stream. It reads the clock only if a client keeps it waiting, because most never do.
#[derive(Debug)]
pub struct TimeoutStream<S> {
    stream: S,
    connection: Arc<Connection>,
    timeouts: Timeouts,
    read: Turn,
    write: Turn,
    linger: Linger,
}

/// The state of closing a connection (a lingering close).
#[derive(Debug)]
enum Linger {
    /// Not closing.
    Open,
    /// The sending side is closed. At most this many further bytes are read.
    Reading(usize, Turn),
}

impl<S: AsyncRead + AsyncWrite + Unpin> TimeoutStream<S> {
    pub fn new(stream: S, connection: Arc<Connection>, timeouts: Timeouts) -> Self {
        // The timeout of the first request begins with the connection.
        let read = Turn { by: Some(Instant::now() + timeouts.headers), begun: true, alarm: None };
        Self { stream, connection, timeouts, read, write: Turn::default(), linger: Linger::Open }
    }

    fn written(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Ready(Ok(bytes)) => {
                // A client that reads a response is not idle yet, and its request has been read.
                (self.read.by, self.read.begun) = (None, false);
                let pace = Duration::from_micros(*bytes as u64 * 1_000_000 / SLOWEST);
                self.write.by = self.write.by.map(|by| by + pace);
                polled
            }
            Poll::Ready(Err(_)) => polled,
            Poll::Pending => {
                self.write.poll_over(cx, self.timeouts.answer).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Reads and discards the rest of a request that got its response early. If the connection were closed before, it
    /// would be reset, and the client might never see the response (RFC 9112, section 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scrap = [const { MaybeUninit::uninit() }; 16 * 1024];
        while let Linger::Reading(left, turn) = &mut self.linger {
            let mut buffer = ReadBuf::uninit(&mut scrap);
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            let bytes = buffer.filled().len();
            match polled {
                Poll::Pending => return turn.poll_over(cx, LINGER).map(Ok),
                Poll::Ready(Ok(())) if bytes > 0 && bytes < *left => *left -= bytes,
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A period in which the server waits for the client.
#[derive(Debug, Default)]
struct Turn {
    /// The deadline, if the period has begun.
    by: Option<Instant>,
    /// Whether the client has sent the first byte.
    begun: bool,
    /// A timer that fires at the deadline or earlier. It is postponed only when it fires, not in each period.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Turn {
    /// Ready once the deadline has passed. A period that has not begun begins now.
    fn poll_over(&mut self, cx: &mut Context<'_>, timeouts: Duration) -> Poll<()> {
        let by = *self.by.get_or_insert_with(|| Instant::now() + timeouts);
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Self { connection, timeouts, read, write, .. } = &mut *self;
        let bytes = buffer.filled().len() - before;
        if bytes > 0 && !connection.received(bytes) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if connection.is_answering() {
            (read.by, read.begun) = (None, false);
            return polled;
        }
        if polled.is_ready() {
            if !read.begun {
                (read.by, read.begun) = (Some(Instant::now() + timeouts.headers), true);
                write.by = None;
                connection.start_waiting();
            }
            return polled;
        }
        read.poll_over(cx, timeouts.idle).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
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
        // After a response hyper doesn't read until something arrives. So the idle timeout begins here. When it
        // expires, the timer makes hyper read, and `poll_read` returns the timeout.
        if !self.connection.is_answering() {
            self.connection.sent();
            let idle = self.timeouts.idle;
            let _waits = self.read.poll_over(cx, idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.linger, Linger::Open) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            let left = if self.connection.is_whole() { 0 } else { LINGER_BYTES };
            self.linger = Linger::Reading(left, Turn::default());
        }
        if matches!(self.linger, Linger::Reading(0, _)) {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{interval, timeout},
    };

    use super::{super::registry::Registry, *};

    const TIMEOUTS: Timeouts =
        Timeouts { headers: Duration::from_secs(10), idle: Duration::from_secs(75), answer: Duration::from_secs(20) };

    /// A connection through a small pipe: the server's stream, its registered connection, and the client's end.
    fn connected() -> (TimeoutStream<DuplexStream>, Arc<Connection>, DuplexStream) {
        let (near, far) = duplex(1024);
        let connection = Registry::new(1 << 20).register();
        (TimeoutStream::new(near, Arc::clone(&connection), TIMEOUTS), connection, far)
    }

    /// Reads the given number of bytes per second until the end.
    async fn read_slowly(mut client: DuplexStream, each_second: usize) {
        let (mut ticks, mut bytes) = (interval(Duration::from_secs(1)), vec![0; each_second]);
        loop {
            ticks.tick().await;
            for chunk in bytes.chunks_mut(1024) {
                if client.read(chunk).await.is_ok_and(|read| read == 0) {
                    return;
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_too_slowly_is_disconnected_r102() {
        let (mut server, _, client) = connected();
        let reader = tokio::spawn(read_slowly(client, 64));
        let written = server.write_all(&vec![0; 1 << 20]).await;
        assert_eq!(written.expect_err("a timeout").kind(), io::ErrorKind::TimedOut);
        drop(server);
        reader.await.expect("a reader");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_gets_the_whole_response() {
        let (mut server, _, client) = connected();
        let reader = tokio::spawn(read_slowly(client, 8 * 1024));
        server.write_all(&vec![0; 1 << 20]).await.expect("sent");
        server.flush().await.expect("sent");
        drop(server);
        reader.await.expect("a reader");
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_early_response_the_rest_is_read_to_a_limit_r80() {
        let (mut server, connection, mut client) = connected();
        client.write_all(b"POST").await.expect("sent");
        assert_eq!(server.read(&mut [0; 4]).await.expect("read"), 4);
        let ending = tokio::spawn(async move { server.shutdown().await });
        client.write_all(&vec![0; 1 << 20]).await.expect("the server reads the rest");
        assert!(timeout(LINGER, client.read_to_end(&mut Vec::new())).await.is_ok(), "the response ends");
        while client.write_all(&vec![0; 64 * 1024]).await.is_ok() {}
        ending.await.expect("it ends").expect("well");
        assert!(!connection.is_whole());
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_the_rest_of_a_request_ends_r102() {
        let (mut server, _, mut client) = connected();
        client.write_all(b"POST").await.expect("sent");
        assert_eq!(server.read(&mut [0; 4]).await.expect("read"), 4);
        server.shutdown().await.expect("the server closes the connection");
    }

    #[tokio::test]
    async fn a_connection_ends_at_once_after_a_complete_request() {
        let (mut server, connection, mut client) = connected();
        client.write_all(b"POST").await.expect("sent");
        assert_eq!(server.read(&mut [0; 4]).await.expect("read"), 4);
        connection.complete();
        server.shutdown().await.expect("at once");
        client.write_all(&[0; 512]).await.expect("the data fits into the pipe's buffer");
    }
}
