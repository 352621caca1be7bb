//! Vestibule: accounts for your app in one program.
//!
//! | module | content | built for |
//! |---|---|---|
//! | [`app`], [`pages`], [`components`], [`session`] | the page: shell, views, shared components, login state | browser and server |
//! | [`browser`], [`route`] | the address, document and storage of the browser; the views and their paths | browser and server |
//! | [`http`] | what requests and responses share | server |
//! | [`domain`], [`error`], [`json`] | domain types, errors, and the JSON of server functions | browser and server |
//! | [`server`], [`api`], [`cli`] | the entry points: HTTP for the page, JSON for programs, the command line | server |
//! | [`service`] | the business rules | server |
//! | [`mail`] | delivery of mail: SMTP, or a folder | server |
//! | [`store`] | the database, and all SQL | server |
//!
//! Dependencies run one way: entry points → service → store. `ARCHITECTURE.md` has the details.

// Each view is one type, nested as deeply as its elements.
#![recursion_limit = "256"]

#[cfg(feature = "ssr")]
pub mod api;
pub mod app;
pub mod browser;
#[cfg(feature = "ssr")]
pub mod cli;
pub mod components;
pub mod domain;
pub mod error;
#[cfg(feature = "ssr")]
pub mod http;
pub mod json;
#[cfg(feature = "ssr")]
pub mod mail;
pub mod pages;
pub mod route;
#[cfg(feature = "ssr")]
pub mod server;
#[cfg(feature = "ssr")]
pub mod service;
pub mod session;
#[cfg(feature = "ssr")]
pub mod store;

/// Starts the page in the browser. The page's loader script calls it once. The promise settles once the page is drawn.
#[cfg(feature = "browser")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn start() -> js_sys::Promise {
    js_sys::futures::future_to_promise(async {
        app::start().await;
        Ok(wasm_bindgen::JsValue::UNDEFINED)
    })
}
