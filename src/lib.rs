//! Vestibule: accounts for your app in one program.
//!
//! | room | what is in it | which side |
//! |---|---|---|
//! | [`app`], [`pages`], [`components`], [`session`] | the page: its shell, its views, what they share, who is logged in | both |
//! | [`domain`], [`error`] | the words of the field as types; what can go wrong | both |
//! | [`server`], [`api`], [`cli`] | the doors: HTTP for the page, JSON for programs, the command line | server |
//! | [`service`] | the rules | server |
//! | [`mail`] | what brings mail to its addressees | server |
//! | [`store`] | the database, and all SQL | server |
//!
//! Arrows run one way: doors → service → store. `ARCHITECTURE.md` tells the rest.

// A view is one type, as deep as its elements.
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

/// Starts the page in the browser. The page's loader calls it once.
#[cfg(feature = "browser")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn start() {
    app::start();
}
