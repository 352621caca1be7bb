//! Captures what this thread logs, or sends to PostgreSQL.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Dispatch, Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

/// The events of one kind, in order, as `field: value` pairs.
#[derive(Clone)]
pub struct CapturedLog {
    wanted: fn(&Metadata<'_>) -> bool,
    events: Arc<Mutex<Vec<String>>>,
}

/// A second subscriber, which captures nothing. With only one subscriber, tracing caches for each log statement whether
/// the thread that first reaches it has it enabled. A test on another thread would then disable the statement.
static SECOND: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(CapturedLog { wanted: |_| false, events: Arc::default() }));

impl CapturedLog {
    /// Captures this thread's events until the guard is dropped.
    pub fn listen(wanted: fn(&Metadata<'_>) -> bool) -> (Self, DefaultGuard) {
        LazyLock::force(&SECOND);
        let captured = Self { wanted, events: Arc::default() };
        (captured.clone(), tracing::subscriber::set_default(captured))
    }

    /// The events captured since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}: {value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for CapturedLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (self.wanted)(metadata)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.events.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
