//! The log: text on a terminal, JSON elsewhere. Secrets are never logged.

use std::io::IsTerminal;

use tracing::{Event, Subscriber, span};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt,
    layer::{Context, SubscriberExt},
};

use super::config::{LogConfig, LogFormat};
use crate::service::request_id::RequestId;

/// Starts the log, on standard error. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let filter: Targets = config.level.parse().unwrap_or_default();
    let subscriber = tracing_subscriber::registry().with(InRequest(lines(config.format))).with(filter);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The place is logged but not the message, which may quote user data.
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            tracing::error!(place, "a task panicked");
        }));
    }
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    if json {
        fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().with_target(false).with_ansi(terminal).with_writer(std::io::stderr).boxed()
    }
}

/// Opens the span of the request in progress for each line. Most requests log nothing, so none is open otherwise.
struct InRequest<L>(L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for InRequest<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let _span = RequestId::current().map(|id| tracing::info_span!("request", id = id.as_str()).entered());
        self.0.on_event(event, context);
    }

    fn on_new_span(&self, fields: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        self.0.on_new_span(fields, id, context);
    }
}
