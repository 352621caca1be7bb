//! `vestibule check-config`.

use super::output::{Failure, print_text};
use crate::server::config::Config;

/// Tells what the configuration is made of, and what in it may be a mistake.
///
/// # Errors
/// [`Failure::Output`].
pub fn report(config: &Config) -> Result<(), Failure> {
    let mut lines = vec![
        format!("The configuration is good: {}.", config.origin),
        format!("Listens on: {}", config.server.address),
        format!("Database: {}", config.database.url),
        format!("Mail: {:?}", config.mail.url),
    ];
    lines.extend(config.warnings().into_iter().map(|warning| format!("Warning: {warning}")));
    print_text(&(lines.join("\n") + "\n"))
}
