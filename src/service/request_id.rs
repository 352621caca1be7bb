//! The identifier of the request in progress, for the log.
//!
//! It is stored beside the task instead of in an open span. A span is formatted when it is opened, but most requests
//! log nothing. The log opens the span for each line (`server::logging`).

use std::future::Future;

use super::entropy::Entropy;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// 64 random bits as hexadecimal digits. They reveal nothing about other requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// Generates an identifier.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        let bits = u64::from_ne_bytes(bytes);
        Self(std::array::from_fn(|place| match ((bits >> (4 * place)) & 0xf) as u8 {
            value @ 0..10 => b'0' + value,
            value => b'a' + value - 10,
        }))
    }

    /// The identifier of the request that the current task handles.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|id| *id).ok()
    }

    /// The digits.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Makes this the identifier of what a future logs.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Gives what a future logs the identifier of the current task, for a future that runs in another task.
    pub fn keep<F: Future>(future: F) -> impl Future<Output = F::Output> {
        let current = Self::current();
        async move {
            match current {
                Some(id) => id.scope(future).await,
                None => future.await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xa9);
        }
    }

    #[tokio::test]
    async fn tasks_of_a_request_log_its_identifier() {
        let id = RequestId::generate(&Fixed);
        assert!(id.as_str() == "9a9a9a9a9a9a9a9a" && id.as_bytes() == id.as_str().as_bytes());
        assert_eq!(RequestId::current(), None);
        let (here, elsewhere) = id
            .scope(async {
                let started = tokio::spawn(RequestId::keep(async { RequestId::current() }));
                (RequestId::current(), started.await.expect("a task"))
            })
            .await;
        assert_eq!((here, elsewhere), (Some(id), Some(id)));
    }
}
