//! Files embedded in the program. The build script hashes and compresses them.

use axum::{
    Router,
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    error::AppError,
    http::{assets::PageFiles, encoding::Encoding, response::ErrorFormat},
};

/// Caching for a path that changes with the content (RFC 8246).
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Caching for a path that stays the same when the content changes: an hour, then revalidate.
const ONE_HOUR: &str = "public, max-age=3600";

/// An embedded file.
#[derive(Debug)]
struct Asset {
    /// The URL path.
    path: &'static str,
    content_type: &'static str,
    /// SHA-256 of the content, in hexadecimal.
    hash: &'static str,
    /// Whether the path changes with the content.
    immutable: bool,
    identity: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/site.rs"));

pub(super) fn is_there() -> bool {
    !FILES.is_empty()
}

pub(super) fn page_files() -> PageFiles {
    PageFiles {
        style: STYLE.to_owned(),
        inlined: find(FILES, STYLE).and_then(|file| std::str::from_utf8(file.identity).ok()),
        script: SCRIPT.to_owned(),
        imported: IMPORTED.iter().map(|&path| path.to_owned()).collect(),
        wasm: WASM.to_owned(),
        secondary: SECONDARY.iter().map(|&path| path.to_owned()).collect(),
        reload: false,
    }
}

pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let missing = get(async || ErrorFormat::Page.error_response(&AppError::NotFound));
    let packages =
        Router::new().route("/pkg", missing.clone()).route("/pkg/", missing).route("/pkg/{*path}", get(serve));
    let public = FILES.iter().filter(|file| !file.path.starts_with("/pkg/"));
    public.fold(packages, |router, file| router.route(file.path, get(serve)))
}

/// Serves a file. Paths are compared unchanged with those in a table, so there is no folder to escape from.
async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    match find(FILES, uri.path()) {
        Some(file) => file.answer(&headers),
        None => ErrorFormat::Page.error_response(&AppError::NotFound),
    }
}

fn find(files: &'static [Asset], path: &str) -> Option<&'static Asset> {
    files.binary_search_by_key(&path, |file| file.path).ok().and_then(|at| files.get(at))
}

impl Asset {
    fn answer(&self, wishes: &HeaderMap) -> Response {
        let (encoding, bytes) = self.encoded(wishes);
        let tag = format!("\"{}-{}\"", self.hash, encoding.name());
        let unchanged = wishes.get_all(IF_NONE_MATCH).iter().any(|known| matches(known, &tag));
        let mut response =
            if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(Body::from(bytes)) };
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        let keep = if self.immutable { IMMUTABLE } else { ONE_HOUR };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if !unchanged {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            if encoding != Encoding::Identity {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
            }
        }
        response
    }

    fn encoded(&self, wishes: &HeaderMap) -> (Encoding, &'static [u8]) {
        let forms =
            [(Encoding::Brotli, self.brotli), (Encoding::Gzip, self.gzip), (Encoding::Identity, Some(self.identity))];
        let available = forms.iter().filter(|(_, bytes)| bytes.is_some()).map(|(encoding, _)| *encoding);
        let chosen = Encoding::choose(wishes, available);
        let found = forms.into_iter().find(|(encoding, _)| *encoding == chosen);
        (chosen, found.and_then(|(_, bytes)| bytes).unwrap_or(self.identity))
    }
}

/// The weak comparison that `If-None-Match` requires (RFC 9110, section 13.1.2).
fn matches(known: &HeaderValue, tag: &str) -> bool {
    known.to_str().is_ok_and(|list| {
        list.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    })
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT_ENCODING;

    use super::*;

    static SAMPLE: &[Asset] = &[
        Asset {
            path: "/favicon.svg",
            content_type: "image/svg+xml; charset=utf-8",
            hash: "aa",
            immutable: false,
            identity: b"plain",
            brotli: None,
            gzip: Some(b"gz"),
        },
        Asset {
            path: "/pkg/bb/app.wasm",
            content_type: "application/wasm",
            hash: "bb",
            immutable: true,
            identity: b"plain",
            brotli: Some(b"br"),
            gzip: Some(b"gz"),
        },
    ];

    fn ask(path: &str, wishes: &[(axum::http::HeaderName, &'static str)]) -> Response {
        let wishes = wishes.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        find(SAMPLE, path).expect("a known path").answer(&wishes)
    }

    fn header(response: &Response, name: axum::http::HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
    }

    #[test]
    fn only_a_path_with_a_hash_is_cached_forever() {
        let wasm = ask("/pkg/bb/app.wasm", &[(ACCEPT_ENCODING, "gzip, br")]);
        assert_eq!(header(&wasm, CACHE_CONTROL), IMMUTABLE);
        assert_eq!(header(&wasm, CONTENT_TYPE), "application/wasm");
        assert_eq!(header(&wasm, CONTENT_ENCODING), "br");
        assert_eq!(header(&wasm, VARY), "Accept-Encoding");
        let icon = ask("/favicon.svg", &[(ACCEPT_ENCODING, "gzip, br")]);
        assert_eq!(header(&icon, CACHE_CONTROL), ONE_HOUR);
        assert_eq!(header(&icon, CONTENT_ENCODING), "gzip");
    }

    #[test]
    fn a_client_without_accept_encoding_gets_the_plain_file() {
        let plain = ask("/pkg/bb/app.wasm", &[]);
        assert_eq!(plain.status(), StatusCode::OK);
        assert_eq!(header(&plain, CONTENT_ENCODING), "");
    }

    #[test]
    fn a_known_etag_gets_a_304_for_the_same_encoding_only() {
        let tag = "W/\"x\", W/\"bb-br\"";
        let same = ask("/pkg/bb/app.wasm", &[(ACCEPT_ENCODING, "br"), (IF_NONE_MATCH, tag)]);
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(header(&same, ETAG), "\"bb-br\"");
        assert_eq!(header(&same, VARY), "Accept-Encoding");
        let other = ask("/pkg/bb/app.wasm", &[(ACCEPT_ENCODING, "gzip"), (IF_NONE_MATCH, tag)]);
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn only_paths_of_the_table_are_found_r79() {
        let hostile = [
            "/pkg",
            "/pkg/",
            "/pkg/app.wasm",
            "/pkg/bb",
            "/pkg/bb/",
            "/pkg/cc/app.wasm",
            "/pkg/./bb/app.wasm",
            "/pkg/../favicon.svg",
            "/pkg/%2e%2e/favicon.svg",
            "/pkg/..%2ffavicon.svg",
            "/pkg//bb/app.wasm",
            "/pkg/bb/app.wasm/",
            "/pkg/bb/app.wasm%00",
            "/.env",
            "/pkg/bb/app.js.map",
        ];
        for path in hostile {
            assert!(find(SAMPLE, path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_built_table_is_sorted_and_names_the_main_files() {
        assert!(FILES.is_sorted_by_key(|file| file.path));
        if is_there() {
            for path in [STYLE, SCRIPT, WASM].into_iter().chain(IMPORTED.iter().copied()) {
                assert!(find(FILES, path).is_some_and(|file| file.immutable && file.brotli.is_some()), "{path}");
            }
        }
    }
}
