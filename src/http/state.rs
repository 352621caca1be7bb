//! What every handler may reach.

use std::{ops::Deref, sync::Arc};

use axum::{extract::FromRef, routing::MethodRouter};
use leptos::config::LeptosOptions;

use crate::{
    http::{assets::PageFiles, brand::Brand, trust::Trust},
    service::Service,
};

/// The state of the server, which all requests share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// What is in it.
#[derive(Debug)]
pub struct Shared {
    /// The accounts and their rules.
    pub service: Service,
    /// What the page shows of the service.
    pub brand: Brand,
    /// What Leptos wants to know to render.
    pub leptos: LeptosOptions,
    /// The page's files.
    pub files: PageFiles,
    /// Whom to believe, and under which names to answer.
    pub trust: Arc<Trust>,
}

/// A path with its handlers.
pub type Route = (String, MethodRouter<AppState>);

impl AppState {
    /// Puts what is shared where all requests find it.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<AppState> for LeptosOptions {
    fn from_ref(state: &AppState) -> Self {
        state.leptos.clone()
    }
}
