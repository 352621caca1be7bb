//! The document round the page, which only the server writes.

use axum::extract::FromRef;
use leptos::{config::LeptosOptions, hydration::AutoReload, nonce::use_nonce, prelude::*};

use super::{Address, App, settings};
use crate::{
    server::{answer::page_headers, assets::PageFiles, state::AppState},
    session::STORAGE_KEY,
};

/// The whole document. Takes the page's files and the request from the context, and gives the answer its headers.
pub fn shell() -> impl IntoView {
    let files = use_context::<PageFiles>();
    let reload = files.as_ref().filter(|files| files.reload).and_then(|_| use_context::<AppState>());
    let reload = reload.map(|state| LeptosOptions::from_ref(&state));
    page_headers(reload.as_ref().map(|options| options.reload_port));
    view! {
        <!DOCTYPE html>
        <html
            lang="en"
            data-password-least=settings::PASSWORD_LEAST.get()
            data-registration=settings::REGISTRATION.get()
            data-mail=settings::MAIL.get()
            data-confirm-first=settings::CONFIRM_FIRST.get()
        >
            <head>
                <meta charset="utf-8" />
                <title>{Address::provide().view_now().title()}</title>
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="description" content="Register, log in and log out: your account in one place." />
                <meta name="color-scheme" content="light dark" />
                <meta name="theme-color" media="(prefers-color-scheme: light)" content="#f6f6f9" />
                <meta name="theme-color" media="(prefers-color-scheme: dark)" content="#111218" />
                <link rel="icon" href="/favicon.ico" sizes="32x32" />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                <link rel="apple-touch-icon" href="/icon.png" />
                <link rel="manifest" href="/manifest.webmanifest" />
                {files.map(|files| loading(files, reload))}
            </head>
            <body>
                <App />
                <div id="trouble" class="trouble" role="alert" hidden>
                    <strong>"This page could not start. "</strong>
                    "It needs WebAssembly, which is switched off in this browser or could not be loaded. "
                    "Allow it for this site, or reload the page."
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

/// What the document loads. Every script carries the nonce of this one answer.
fn loading(files: PageFiles, reload: Option<LeptosOptions>) -> impl IntoView {
    let nonce = use_nonce();
    let PageFiles { style, script, imported, wasm, .. } = files;
    let start = loader(&script, &wasm);
    let scripts = [vec![script], imported].concat();
    let ahead = scripts.into_iter().map(|path| view! { <link rel="modulepreload" href=path nonce=nonce.clone() /> });
    let ahead = ahead.collect_view();
    view! {
        <script nonce=nonce.clone()>{veil()}</script>
        <link rel="stylesheet" href=style />
        {ahead}
        <link rel="preload" href=wasm r#as="fetch" r#type="application/wasm" crossorigin="anonymous" />
        <script type="module" nonce=nonce>{start}</script>
        {reload.map(|options| view! { <AutoReload options /> })}
    }
}

/// Hides what is meant for strangers when this tab has a token, before anything is drawn.
fn veil() -> String {
    format!(
        "try{{sessionStorage.getItem({STORAGE_KEY:?})&&(document.documentElement.dataset.session=\"stored\")}}catch{{}}"
    )
}

/// Starts the page; if that fails, says so. Asset paths are our own, so they need no more than quotes.
fn loader(script: &str, wasm: &str) -> String {
    format!(
        "import({script:?}).then(m=>m.default({{module_or_path:{wasm:?}}}).then(()=>m.hydrate())).catch(e=>{{\
         console.error(e);delete document.documentElement.dataset.session;\
         document.getElementById(\"trouble\").hidden=false}})"
    )
}
