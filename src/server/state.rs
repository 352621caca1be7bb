//! What every handler may reach.

use std::{net::IpAddr, ops::Deref, sync::Arc};

use axum::extract::FromRef;
use ipnet::IpNet;
use leptos::config::LeptosOptions;

use super::{assets::PageFiles, brand::Brand, config::Config, origin::bare_name};
use crate::service::Service;

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

/// Whom to believe, and under which names to answer.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpNet>,
    /// Host names that are ours, without a dot at the end.
    pub hosts: Vec<String>,
    /// The origin of `server.public_url`.
    pub public_origin: Option<String>,
    /// Other origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// Whether clients' addresses may be logged.
    pub log_addresses: bool,
}

impl Trust {
    /// What a configuration says.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let (config, log) = (&config.server, &config.log);
        let public = config.public_url.as_ref();
        let name = public.and_then(|url| url.host_str()).map(str::to_owned);
        let named = config.hosts.iter().cloned().chain(name);
        Self {
            proxies: config.trusted_proxies.clone(),
            hosts: named.map(|host| bare_name(&host).to_owned()).collect(),
            public_origin: public.map(|url| url.origin().ascii_serialization()),
            allowed_origins: config.allowed_origins.clone(),
            log_addresses: log.addresses,
        }
    }

    /// Whether a host name is one that the operator has named.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(bare_name(host)))
    }

    /// Whether people reach the server by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_origin.as_ref().is_some_and(|origin| origin.starts_with("https:"))
    }

    /// Whether an address is one of the proxies.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|network| network.contains(&address))
    }
}

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
