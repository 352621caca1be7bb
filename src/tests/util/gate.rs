//! Stops an operation of the service between its check and its change. Meanwhile another operation can run.

use std::sync::{Mutex, mpsc};

use tokio::{runtime::Handle, task::JoinHandle};

/// A point that every operation passes. One operation stops there if a stop is set.
#[derive(Debug, Default)]
pub struct Gate(Mutex<Option<Stop>>);

/// Stops one operation, after some have passed.
#[derive(Debug)]
struct Stop {
    before: usize,
    reached: mpsc::Sender<()>,
    resume: mpsc::Receiver<()>,
}

/// An operation that has begun.
pub struct StartedOperation<T> {
    running: JoinHandle<T>,
    resume: mpsc::Sender<()>,
    /// Whether it waits at the gate. If not, it has ended.
    pub stopped: bool,
}

impl Gate {
    /// Passes the gate, and waits here if a stop is set for this passage.
    pub fn pass(&self) {
        let stop = {
            let mut stop = self.0.lock().unwrap();
            match stop.as_mut() {
                Some(Stop { before: 0, .. }) => stop.take(),
                Some(Stop { before, .. }) => {
                    *before -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some(Stop { reached, resume, .. }) = stop {
            reached.send(()).unwrap();
            // An error means that the test has resumed or dropped the operation.
            resume.recv().ok();
        }
    }

    /// Starts an operation, and stops it at its passage number `before`, counted from 0. An operation with fewer
    /// passages runs to its end. Nothing else may read the clock meanwhile.
    pub async fn begin<T: Send + 'static>(
        &self,
        before: usize,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> StartedOperation<T> {
        let ((reached, at_gate), (resume, resumed)) = (mpsc::channel(), mpsc::channel());
        *self.0.lock().unwrap() = Some(Stop { before, reached, resume: resumed });
        // A stopped operation blocks its thread, so it has its own.
        let running = tokio::task::spawn_blocking(|| Handle::current().block_on(operation));
        let stopped = async {
            loop {
                if at_gate.try_recv().is_ok() {
                    return true;
                }
                if running.is_finished() {
                    return at_gate.try_recv().is_ok();
                }
                tokio::task::yield_now().await;
            }
        };
        let stopped = stopped.await;
        *self.0.lock().unwrap() = None;
        StartedOperation { running, resume, stopped }
    }
}

impl<T> StartedOperation<T> {
    /// Runs it to its end.
    pub async fn end(self) -> T {
        drop(self.resume);
        self.running.await.unwrap()
    }
}
