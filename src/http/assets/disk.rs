//! Files on disk, for development: a program that was built without the page.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    middleware::{self, Next},
    response::Response,
};
use tower_http::services::{ServeDir, ServeFile};

use crate::{
    error::AppError,
    http::{assets::PageFiles, response::ErrorFormat},
};

/// The folder where cargo-leptos puts the page by default.
const SITE_ROOT: &str = "target/site";

pub(super) fn page_files() -> PageFiles {
    let path = |name: &str| format!("/pkg/{name}");
    PageFiles {
        style: path("vestibule.css"),
        inlined: None,
        script: path("vestibule.js"),
        imported: Vec::new(),
        wasm: path("vestibule.wasm"),
        secondary: Vec::new(),
        reload: env::var_os("LEPTOS_WATCH").is_some(),
    }
}

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let site = env::var_os("LEPTOS_SITE_ROOT").map_or_else(|| PathBuf::from(SITE_ROOT), PathBuf::from);
    router_of(&site)
}

fn router_of<S: Clone + Send + Sync + 'static>(site: &Path) -> Router<S> {
    let packages = ServeDir::new(site.join("pkg")).append_index_html_on_directories(false);
    public_files(site)
        .into_iter()
        .fold(Router::new().nest_service("/pkg", packages), |router, name| {
            router.route_service(&format!("/{name}"), ServeFile::new(site.join(name)))
        })
        .layer(middleware::from_fn(restrict))
}

/// The names of the files in the site's top folder, except hidden ones.
fn public_files(site: &Path) -> Vec<String> {
    let entries = fs::read_dir(site).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    files.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
}

/// Refuses hidden files and encoded paths, which no served file has, and converts errors to the server's own format.
async fn restrict(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.contains("/.") || path.contains('%') {
        return ErrorFormat::Page.error_response(&AppError::NotFound);
    }
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return ErrorFormat::Page.error_response(&AppError::NotFound);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::header::CONTENT_TYPE,
    };
    use tower::ServiceExt;

    use super::*;

    fn site() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let files = [
            ("site/pkg/vestibule.wasm", "wasm"),
            ("site/pkg/.hidden", "secret"),
            ("site/favicon.svg", "icon"),
            ("site/.env", "secret"),
            ("site/pkg/vestibule.css", "style"),
            ("outside.txt", "secret"),
        ];
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    async fn ask(folder: &Path, path: &str) -> (StatusCode, String, String) {
        let router: Router = router_of(&folder.join("site"));
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        let kind = response.headers().get(CONTENT_TYPE).map_or("", |kind| kind.to_str().expect("text")).to_owned();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1024).await.expect("a body");
        (status, kind, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn the_site_is_served() {
        let folder = site();
        for (path, kind, text) in [
            ("/pkg/vestibule.wasm", "application/wasm", "wasm"),
            ("/pkg/vestibule.css", "text/css", "style"),
            ("/favicon.svg", "image/svg+xml", "icon"),
        ] {
            let answer = ask(folder.path(), path).await;
            assert_eq!((answer.0, answer.1.as_str(), answer.2.as_str()), (StatusCode::OK, kind, text), "{path}");
        }
    }

    #[tokio::test]
    async fn no_hidden_file_no_outside_file_and_no_listing_is_served_r79() {
        let folder = site();
        let hostile = [
            "/pkg",
            "/pkg/",
            "/pkg/.hidden",
            "/pkg/%2ehidden",
            "/.env",
            "/pkg/../favicon.svg",
            "/pkg/../../outside.txt",
            "/pkg/..%2f..%2foutside.txt",
            "/pkg/%2e%2e/%2e%2e/outside.txt",
            "/pkg/..%5coutside.txt",
            "/pkg/missing.js",
            "/pkg/vestibule.js.map",
            "/missing.txt",
        ];
        for path in hostile {
            let (status, _, text) = ask(folder.path(), path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(!text.contains("secret") && !text.contains("<html"), "{path}");
        }
    }
}
