//! A place where an act of the service can be stopped in the middle, so that another runs between its check and its change.

use std::sync::{Mutex, mpsc};

use tokio::{runtime::Handle, task::JoinHandle};

/// Where acts pass. It is open, unless a stop is set.
#[derive(Debug, Default)]
pub struct Gate(Mutex<Option<Stop>>);

/// Stops one act, after some have passed.
#[derive(Debug)]
struct Stop {
    before: usize,
    reached: mpsc::Sender<()>,
    resume: mpsc::Receiver<()>,
}

/// An act that has begun.
pub struct Begun<T> {
    running: JoinHandle<T>,
    resume: mpsc::Sender<()>,
    /// Whether it waits at the gate. If not, it has come to its end.
    pub stopped: bool,
}

impl Gate {
    /// Passes, and waits here if a stop is set for this passage.
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
            // An error means that nobody holds it back any more.
            resume.recv().ok();
        }
    }

    /// Begins an act and lets it run up to its passage number `before`, counted from 0, or to its end. Nothing else may read the
    /// clock meanwhile.
    pub async fn begin<T: Send + 'static>(
        &self,
        before: usize,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Begun<T> {
        let ((reached, at_gate), (resume, resumed)) = (mpsc::channel(), mpsc::channel());
        *self.0.lock().unwrap() = Some(Stop { before, reached, resume: resumed });
        // On a thread of its own, which alone waits.
        let running = tokio::task::spawn_blocking(|| Handle::current().block_on(act));
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
        Begun { running, resume, stopped }
    }
}

impl<T> Begun<T> {
    /// Lets it run to its end.
    pub async fn end(self) -> T {
        drop(self.resume);
        self.running.await.unwrap()
    }
}
