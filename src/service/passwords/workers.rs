//! Threads for CPU-bound work. Each thread takes its next job as soon as it has finished one. Scheduling each job
//! through the async runtime would leave a processor idle in between.

use std::{
    fmt,
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

use crate::{error::AppError, service::Error};

type Job<C> = Box<dyn FnOnce(&C) + Send>;

/// Threads that share a `C`. They stop when this is dropped.
pub struct Workers<C> {
    jobs: mpsc::Sender<Job<C>>,
}

impl<C> fmt::Debug for Workers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}

/// Settings for a group of threads.
#[derive(Clone, Copy, Debug)]
pub struct ThreadSettings {
    /// Prefix of the threads' names.
    pub name: &'static str,
    /// Number of threads.
    pub count: u32,
    /// Nice value (setpriority(2)). Threads above 0 have a lower priority.
    pub nice: i32,
}

impl<C: Send + Sync + 'static> Workers<C> {
    /// Starts the threads. Fails if the operating system refuses one.
    pub fn start(settings: ThreadSettings, shared: &Arc<C>) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 1..=settings.count {
            let (shared, queue) = (Arc::clone(shared), Arc::clone(&queue));
            let thread = thread::Builder::new().name(format!("{}-{number}", settings.name));
            let started = thread.spawn(move || {
                lower_priority(settings.nice);
                run_jobs(&*shared, &queue);
            });
            let no_thread =
                |cause| Error::Fault(format!("a worker thread ({}) can't be started: {cause}", settings.name));
            started.map_err(no_thread)?;
        }
        Ok(Self { jobs })
    }

    /// Runs work on one of the threads. It is skipped if its caller has gone before it starts.
    ///
    /// Returns [`AppError::Unavailable`] if it doesn't start within `queue_timeout`.
    pub async fn run<T: Send + 'static>(
        &self,
        queue_timeout: Duration,
        work: impl FnOnce(&C) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, mut answer) = oneshot::channel();
        // The first to set it decides: the thread runs the work, or the caller abandons it.
        let taken = Arc::new(AtomicBool::new(false));
        let taking = Arc::clone(&taken);
        let job: Job<C> = Box::new(move |shared| {
            if !reply.is_closed() && !taking.swap(true, Ordering::Relaxed) {
                drop(reply.send(work(shared)));
            }
        });
        self.jobs.send(job).map_err(|_| worker_lost())?;
        let answer = match timeout(queue_timeout, &mut answer).await {
            Ok(answer) => answer,
            Err(_) if taken.swap(true, Ordering::Relaxed) => answer.await,
            Err(_) => return Err(queue_full()),
        };
        answer.map_err(|_| worker_lost())
    }
}

/// Lowers the priority of this thread. On Linux each thread has its own nice value, and raising it needs no privilege.
fn lower_priority(nice: i32) {
    if nice > 0
        && let Err(cause) = rustix::process::setpriority_process(None, nice)
    {
        tracing::warn!(%cause, "could not lower a thread's priority");
    }
}

fn run_jobs<C>(shared: &C, queue: &Mutex<mpsc::Receiver<Job<C>>>) {
    loop {
        // One thread at a time holds the lock while it waits for a job. No thread holds it while working.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook has logged a panic. The caller gets an error, because no reply is sent.
        drop(catch_unwind(AssertUnwindSafe(|| job(shared))));
    }
}

fn worker_lost() -> Error {
    Error::Fault("a worker thread did not finish its work".to_owned())
}

/// The error for a full queue or an expired queue timeout.
pub fn queue_full() -> Error {
    Error::Refused(AppError::Unavailable { retry_after: 2 })
}
