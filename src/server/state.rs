//! What every handler may reach.

use std::sync::Arc;

use axum::extract::FromRef;
use ipnet::IpNet;
use leptos::config::LeptosOptions;

use super::assets::PageFiles;
use crate::service::Service;

/// The state of the server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The accounts and their rules.
    pub service: Service,
    /// What Leptos wants to know to render.
    pub leptos: LeptosOptions,
    /// The page's files.
    pub files: PageFiles,
    /// Whom to believe, and under which names to answer.
    pub trust: Arc<Trust>,
}

/// Whom to believe, and under which names to answer.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpNet>,
    /// Host names that are ours.
    pub hosts: Vec<String>,
}

impl FromRef<AppState> for LeptosOptions {
    fn from_ref(state: &AppState) -> Self {
        state.leptos.clone()
    }
}

impl FromRef<AppState> for Service {
    fn from_ref(state: &AppState) -> Self {
        state.service.clone()
    }
}
