//! The state that all request handlers share.

use std::{ops::Deref, sync::Arc};

use axum::{extract::FromRef, routing::MethodRouter};
use leptos::config::LeptosOptions;

use crate::{
    http::{assets::PageFiles, brand::Brand, trust::Trust},
    service::Service,
};

/// The server's state, which all requests share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState(Arc<Shared>);

/// The content of [`AppState`].
#[derive(Debug)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Shared {
    pub service: Service,
    pub brand: Brand,
    /// The options that Leptos requires to render.
    pub leptos: LeptosOptions,
    pub files: PageFiles,
    pub trust: Arc<Trust>,
}

/// A path with its handlers.
pub type Route = (String, MethodRouter<AppState>);

impl AppState {
    /// Wraps the shared state.
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
