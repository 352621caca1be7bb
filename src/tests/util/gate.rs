//! Stops an operation of the service between its check and its change, so that another can run there.

use std::sync::{Mutex, mpsc};

use tokio::{runtime::Handle, task::JoinHandle};

/// A gate that operations pass. It is open, unless a stop is set.
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
            // An error means that the test no longer holds the operation.
            resume.recv().ok();
        }
    }

    /// Starts an operation and runs it up to its passage number `before`, counted from 0, or to its end. Nothing else
    /// may read the clock meanwhile.
    pub async fn begin<T: Send + 'static>(
        &self,
        before: usize,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> StartedOperation<T> {
        let ((reached, at_gate), (resume, resumed)) = (mpsc::channel(), mpsc::channel());
        *self.0.lock().unwrap() = Some(Stop { before, reached, resume: resumed });
        // On a separate thread, which is the only one to wait.
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
