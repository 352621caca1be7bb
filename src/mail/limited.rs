//! A connection with a limit on the bytes received.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that a mail server may send on one connection, including TLS. A whole session takes a few hundred, and a
/// certificate chain a few thousand.
const MAX_BYTES: usize = 128 * 1024;

/// A connection that fails once the peer has sent too much. SMTP does not limit the number of lines in a reply.
pub(super) struct Limited<S> {
    stream: S,
    left: usize,
}

impl<S> Limited<S> {
    pub const fn new(stream: S) -> Self {
        Self { stream, left: MAX_BYTES }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.left =
            self.left.checked_sub(read).ok_or_else(|| io::Error::other("the mail server sent too much data"))?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit() {
        let mut all = vec![0; MAX_BYTES];
        let mut stream = Limited::new(tokio::io::repeat(b'x'));
        stream.read_exact(&mut all).await.expect("within the limit");
        let refused = stream.read_u8().await.expect_err("beyond the limit");
        assert_eq!(refused.to_string(), "the mail server sent too much data");
    }
}
