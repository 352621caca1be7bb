//! The link that makes the first admin, as the program prints it.

use std::io::{self, IsTerminal as _, Write as _};

use crate::{
    domain::event::Initiator,
    service::{Error, Service},
};

/// The text around a link: it becomes the URL of a view, which the token follows after a `#`. So the token reaches no
/// log of a proxy.
#[must_use]
pub fn invitation(base_url: &str, token: &str) -> String {
    format!("Open this link within an hour to become the first admin. It works once:\n{base_url}/setup#{token}\n")
}

/// At a start without an admin, prints the link on a terminal. Elsewhere, standard output may be a log, so only the
/// command is logged that prints the link.
pub async fn announce(service: &Service, base_url: &str) {
    if let Err(cause) = offer(service, base_url).await {
        tracing::warn!(%cause, "can't find out whether there is an admin");
    }
}

async fn offer(service: &Service, base_url: &str) -> Result<(), Error> {
    if io::stdout().is_terminal() {
        if let Some(token) = service.create_setup_link(Initiator::server()).await? {
            let text = format!("No operator exists yet. {}", invitation(base_url, token.expose()));
            // The terminal may be closed, which must not stop the server.
            drop(io::stdout().write_all(text.as_bytes()));
        }
    } else if !service.has_admin().await? {
        tracing::info!("no admin exists yet: run `vestibule operator link` to get a link that makes one");
    }
    Ok(())
}
