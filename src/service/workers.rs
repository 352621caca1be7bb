//! Threads for work that takes the processor for long. Each takes its next job the moment it is done with one: a way over the
//! async threads from one job to the next would leave a processor without work for a while.

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

use super::Error;
use crate::error::AppError;

type Job<C> = Box<dyn FnOnce(&C) + Send>;

/// Threads that share a `C`. They end when this is dropped.
pub struct Workers<C> {
    jobs: mpsc::Sender<Job<C>>,
}

impl<C> fmt::Debug for Workers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}

/// How a kind of threads is started.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    /// What they are called.
    pub name: &'static str,
    /// How many there are.
    pub count: u32,
    /// Their nice value (setpriority(2)): above 0 they give way to others.
    pub nice: i32,
}

impl<C: Send + Sync + 'static> Workers<C> {
    /// # Errors
    /// [`Error::Fault`] when the operating system gives no more threads.
    pub fn start(crew: Crew, shared: &Arc<C>) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 1..=crew.count {
            let (shared, queue) = (Arc::clone(shared), Arc::clone(&queue));
            let thread = thread::Builder::new().name(format!("{}-{number}", crew.name));
            let started = thread.spawn(move || {
                give_way(crew.nice);
                work_off(&*shared, &queue);
            });
            let no_thread = |cause| Error::Fault(format!("a thread ({}) can't be started: {cause}", crew.name));
            started.map_err(no_thread)?;
        }
        Ok(Self { jobs })
    }

    /// Has work done on one of the threads. Work whose caller has left before its turn is not done.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] when the turn doesn't come in time.
    pub async fn run<T: Send + 'static>(
        &self,
        queue_timeout: Duration,
        work: impl FnOnce(&C) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, mut answer) = oneshot::channel();
        // The first to set it decides: the thread does the work, or the caller gives it up.
        let taken = Arc::new(AtomicBool::new(false));
        let taking = Arc::clone(&taken);
        let job: Job<C> = Box::new(move |shared| {
            if !reply.is_closed() && !taking.swap(true, Ordering::Relaxed) {
                drop(reply.send(work(shared)));
            }
        });
        self.jobs.send(job).map_err(|_| gone())?;
        let answer = match timeout(queue_timeout, &mut answer).await {
            Ok(answer) => answer,
            Err(_) if taken.swap(true, Ordering::Relaxed) => answer.await,
            Err(_) => return Err(busy()),
        };
        answer.map_err(|_| gone())
    }
}

/// Makes this thread give way to others. On Linux a thread has a nice value of its own, and anybody may raise it.
fn give_way(nice: i32) {
    if nice > 0
        && let Err(cause) = rustix::process::setpriority_process(None, nice)
    {
        tracing::warn!(%cause, "a thread runs at the usual priority");
    }
}

fn work_off<C>(shared: &C, queue: &Mutex<mpsc::Receiver<Job<C>>>) {
    loop {
        // The lock is held while waiting, and so by one thread at a time, but never while working.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic has been logged by the panic hook; its caller finds out, for no reply comes.
        drop(catch_unwind(AssertUnwindSafe(|| job(shared))));
    }
}

fn gone() -> Error {
    Error::Fault("work on a thread did not end".to_owned())
}

/// What a caller hears who has no place in a queue, or whose turn doesn't come in time.
pub fn busy() -> Error {
    Error::Refused(AppError::Unavailable { retry_after: 2 })
}
