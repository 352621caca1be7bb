//! `vestibule check-config`.

use super::output::{Failure, print_text};
use crate::server::config::Config;

/// Prints the configuration's origin and main settings, with warnings about likely mistakes.
pub fn report(config: &Config) -> Result<(), Failure> {
    let mut lines = vec![
        format!("The configuration is valid: {}.", config.source),
        format!("Listens on: {}", config.server.address),
        format!("Database: {}", config.database.url),
        format!("Mail: {:?}", config.mail.url),
    ];
    lines.extend(config.warnings().into_iter().map(|warning| format!("Warning: {warning}")));
    print_text(&(lines.join("\n") + "\n"))
}
