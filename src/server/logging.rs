//! The log: text on a terminal, JSON elsewhere. Secrets are never logged.

use std::io::IsTerminal;

use tracing_subscriber::{Layer, Registry, filter::Targets, fmt, layer::SubscriberExt};

use super::config::{LogConfig, LogFormat};

/// Starts the log, on standard error. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let filter: Targets = config.level.parse().unwrap_or_default();
    // One global filter instead of one per layer, because every request opens a span and evaluates it.
    let subscriber = tracing_subscriber::registry().with(lines(config.format)).with(filter);
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
