//! The HTML document around the page. Only the server renders it.

use axum::{
    extract::FromRef,
    http::{
        HeaderValue,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
};
use leptos::{config::LeptosOptions, either::Either, hydration::AutoReload, nonce::use_nonce, prelude::*};
use leptos_axum::ResponseOptions;

use super::{App, PAGE, title};
use crate::{
    browser::storage::KEY as STORAGE_KEY,
    browser::{location::requested_view, settings},
    http::{assets::PageFiles, brand::Brand, state::AppState},
    pages::secondary,
};

/// The whole document. Reads the page's files and the request from the context, and sets the headers of the response.
pub fn shell() -> impl IntoView {
    let files = use_context::<PageFiles>();
    let reload = files.as_ref().filter(|files| files.reload).and_then(|_| use_context::<AppState>());
    let reload = reload.map(|state| LeptosOptions::from_ref(&state));
    let brand = use_context::<AppState>().map(|state| state.brand.clone());
    page_headers(reload.as_ref().map(|options| options.reload_port));
    view! {
        <!DOCTYPE html>
        <html
            lang="en"
            data-password-min-length=settings::PASSWORD_MIN_LENGTH.get()
            data-registration=settings::REGISTRATION.get()
            data-mail=settings::MAIL.get()
            data-confirm-first=settings::CONFIRM_FIRST.get()
            data-service=settings::SERVICE.get()
            data-app-url=settings::APP_URL.get()
            data-logo=settings::LOGO.get()
        >
            <head>
                <meta charset="utf-8" />
                <title>{title(requested_view(), false)}</title>
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="description" content="Register, log in and log out: your account in one place." />
                <meta name="color-scheme" content="light dark" />
                <meta name="theme-color" media="(prefers-color-scheme: light)" content="#f6f6f9" />
                <meta name="theme-color" media="(prefers-color-scheme: dark)" content="#111218" />
                {brand.as_ref().map(icons)}
                <link rel="manifest" href="/manifest.webmanifest" />
                {files.map(|files| loading(files, reload))}
                {brand.as_ref().and_then(accent)}
            </head>
            <body>
                <div id=PAGE class=PAGE>
                    <App />
                </div>
                <div id="trouble" class="trouble" role="alert" hidden>
                    <strong>"This page could not start. "</strong>
                    <span>"Reload it. If that doesn't help, switch off extensions for this site, or use another browser."</span>
                </div>
                <noscript>
                    <div class="trouble" role="alert">
                        <strong>"JavaScript is off. "</strong>
                        "This page needs it, with WebAssembly, to log you in. Allow both for this site and reload it."
                    </div>
                </noscript>
            </body>
        </html>
    }
}

/// The icons for the browser's tab and for a phone's home screen.
fn icons(brand: &Brand) -> impl IntoView + use<> {
    match brand.icon() {
        Some(icon) => Either::Left(view! {
            <link rel="icon" href=icon.path() type=icon.content_type() />
            <link rel="apple-touch-icon" href=icon.path() />
        }),
        None => Either::Right(view! {
            <link rel="icon" href="/favicon.ico" sizes="32x32" />
            <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
            <link rel="apple-touch-icon" href="/icon.png" />
        }),
    }
}

/// The configured colours, which override those of the style sheet.
fn accent(brand: &Brand) -> Option<impl IntoView + use<>> {
    let style = Some(brand.style()).filter(|style| !style.is_empty());
    style.map(|style| view! { <style nonce=use_nonce()>{style}</style> })
}

/// The files that the document loads. The slowest come first, so that their requests start before the style has arrived.
/// Every script has the nonce of this response.
fn loading(files: PageFiles, reload: Option<LeptosOptions>) -> impl IntoView {
    let nonce = use_nonce();
    let PageFiles { style, inlined, script, imported, wasm, secondary, .. } = files;
    let (ask, load) = (ask(), load(&script, &wasm));
    let needed = if secondary::includes(requested_view()) { secondary } else { Vec::new() };
    let modules = [vec![wasm], needed].concat().into_iter().map(|path| {
        view! { <link rel="preload" href=path r#as="fetch" r#type="application/wasm" crossorigin="anonymous" /> }
    });
    let modules = modules.collect_view();
    let style = match inlined {
        Some(css) => Either::Left(view! { <style nonce=nonce.clone()>{css}</style> }),
        None => Either::Right(view! { <link rel="stylesheet" href=style /> }),
    };
    let scripts = [vec![script], imported].concat();
    let ahead = scripts.into_iter().map(|path| view! { <link rel="modulepreload" href=path nonce=nonce.clone() /> });
    let ahead = ahead.collect_view();
    view! {
        {modules}
        {ahead}
        <script nonce=nonce.clone()>{ask}</script>
        {style}
        <script type="module" nonce=nonce>{load}</script>
        {reload.map(|options| view! { <AutoReload options /> })}
    }
}

/// The script that asks the other tabs for their session.
fn ask() -> String {
    script(&[("key", STORAGE_KEY)], include_str!("shell/ask.js"))
}

/// The script that loads the page and starts it.
fn load(script_path: &str, wasm_path: &str) -> String {
    script(&[("script", script_path), ("wasm", wasm_path)], include_str!("shell/load.js"))
}

/// A script in a block after its constants, without comments and indentation. The constants are never user input, so
/// quoting is enough.
fn script(constants: &[(&str, &str)], code: &str) -> String {
    let constants = constants.iter().map(|(name, value)| format!("const {name}={value:?};"));
    let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let (constants, lines) = (constants.collect::<String>(), lines.collect::<Vec<_>>().join("\n"));
    format!("{{{constants}{lines}}}")
}

/// Sets the content security policy of the page that is being rendered, with this response's nonce. Without a nonce, no
/// script may run. `reload` is the port on which `cargo leptos watch` notifies the page of changes, if it runs.
fn page_headers(reload: Option<u32>) {
    let nonce = use_nonce().map(|nonce| format!("'nonce-{nonce}'")).unwrap_or_default();
    let reload_socket = reload.map(|port| format!(" ws://*:{port}")).unwrap_or_default();
    // If the site uses HTTPS, any URL with http: in the page is loaded over https:.
    let https = use_context::<AppState>().is_some_and(|state| state.trust.is_https());
    let upgrade = if https { "; upgrade-insecure-requests" } else { "" };
    let policy = format!(
        "default-src 'none'; script-src {nonce} 'strict-dynamic' 'wasm-unsafe-eval'; style-src 'self' {nonce}; \
         img-src 'self'; font-src 'self'; connect-src 'self'{reload_socket}; manifest-src 'self'; form-action 'self'; \
         base-uri 'none'; object-src 'none'; frame-ancestors 'none'{upgrade}"
    );
    if let (Some(options), Ok(policy)) = (use_context::<ResponseOptions>(), HeaderValue::from_str(&policy)) {
        options.insert_header(CONTENT_SECURITY_POLICY, policy);
        options.insert_header(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
}
