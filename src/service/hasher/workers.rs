//! The threads that hash, as many as may hash at once. Each takes its next job the moment it is done with one: a way
//! over the async threads from one hash to the next would leave a processor without work for a while.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{Argon, busy};
use crate::service::Error;

type Job = Box<dyn FnOnce(&Argon) + Send>;

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub struct Workers {
    jobs: mpsc::Sender<Job>,
}

impl Workers {
    /// # Errors
    /// [`Error::Fault`] when the operating system gives no more threads.
    pub fn start(count: u32, argon: &Arc<Argon>) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 1..=count {
            let (argon, queue) = (Arc::clone(argon), Arc::clone(&queue));
            let thread = thread::Builder::new().name(format!("hash-{number}"));
            let started = thread.spawn(move || work_off(&argon, &queue));
            started.map_err(|cause| Error::Fault(format!("a thread for hashing can't be started: {cause}")))?;
        }
        Ok(Self { jobs })
    }

    /// Has work done on one of the threads. Work whose caller has left before its turn is not done.
    ///
    /// # Errors
    /// [`crate::error::AppError::Unavailable`] when the turn doesn't come in time.
    pub async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&Argon) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, mut answer) = oneshot::channel();
        // Whoever sets it first decides: the thread, that the work is done, or the caller, that it isn't.
        let taken = Arc::new(AtomicBool::new(false));
        let taking = Arc::clone(&taken);
        let job: Job = Box::new(move |argon| {
            if !reply.is_closed() && !taking.swap(true, Ordering::Relaxed) {
                drop(reply.send(work(argon)));
            }
        });
        self.jobs.send(job).map_err(|_| gone())?;
        let answer = match timeout(patience, &mut answer).await {
            Ok(answer) => answer,
            Err(_) if taken.swap(true, Ordering::Relaxed) => answer.await,
            Err(_) => return Err(busy()),
        };
        answer.map_err(|_| gone())
    }
}

fn work_off(argon: &Argon, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // The lock is held while waiting, and so by one thread at a time, but never while working.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic has been logged by the panic hook; its caller finds out, for no reply comes.
        drop(catch_unwind(AssertUnwindSafe(|| job(argon))));
    }
}

fn gone() -> Error {
    Error::Fault("a hash did not end".to_owned())
}
