//! The log: text on a terminal, JSON elsewhere, and never a secret.

use std::io::IsTerminal;

use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, registry::LookupSpan};

use super::config::{LogConfig, LogFormat};

/// Where log lines go.
pub trait Writer: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static {}
impl<T: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static> Writer for T {}

/// Starts the log, on standard error. A second call changes nothing.
pub fn start(config: &LogConfig) {
    let subscriber = tracing_subscriber::registry().with(layer(config, std::io::stderr));
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // Where, but not what: the message may quote what was being worked on.
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            tracing::error!(place, "a task panicked");
        }));
    }
}

/// The log's layer, for a writer.
pub fn layer<S: tracing::Subscriber + for<'a> LookupSpan<'a>>(
    config: &LogConfig,
    writer: impl Writer,
) -> Box<dyn Layer<S> + Send + Sync> {
    let filter: Targets = config.level.parse().unwrap_or_default();
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    if json {
        fmt::layer().json().flatten_event(true).with_writer(writer).with_filter(filter).boxed()
    } else {
        fmt::layer().with_target(false).with_ansi(terminal).with_writer(writer).with_filter(filter).boxed()
    }
}
