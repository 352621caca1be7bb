//! Counts requests by route, method and status.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::http::{Method, StatusCode};

use super::page::Page;
use crate::domain::figures::Durations;

/// The methods with counts of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The statuses with counts of their own.
const STATUSES: [(u16, &str); 27] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (206, "206"),
    (302, "302"),
    (303, "303"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (416, "416"),
    (421, "421"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
];

/// What stands for any other route, method or status.
const OTHER: &str = "other";

/// The counts of all routes. Every combination of labels has its place from the start, so that clients can't add any,
/// and counting takes no lock.
#[derive(Debug)]
pub struct RequestCounts {
    routes: Vec<RouteCounts>,
    other: RouteCounts,
}

#[derive(Debug)]
struct RouteCounts {
    route: String,
    /// By method, and for each method by status.
    counts: [[AtomicU64; STATUSES.len() + 1]; METHODS.len() + 1],
    durations: Durations,
}

impl RouteCounts {
    fn new(route: &str) -> Self {
        let counts = std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)));
        Self { route: route.to_owned(), counts, durations: Durations::default() }
    }

    fn rows(&self) -> impl Iterator<Item = ([(&'static str, &str); 3], u64)> {
        let methods = METHODS.into_iter().chain([OTHER]).zip(&self.counts);
        let rows = methods.flat_map(|(method, counts)| {
            let statuses = STATUSES.into_iter().map(|(_, name)| name).chain([OTHER]).zip(counts);
            statuses.map(move |(status, count)| (method, status, count.load(Ordering::Relaxed)))
        });
        let used = rows.filter(|(_, _, count)| *count > 0);
        used.map(|(method, status, count)| ([("route", &*self.route), ("method", method), ("status", status)], count))
    }
}

impl RequestCounts {
    /// Counts for the given routes, in this order.
    #[must_use]
    pub fn new(routes: &[String]) -> Self {
        Self { routes: routes.iter().map(|route| RouteCounts::new(route)).collect(), other: RouteCounts::new(OTHER) }
    }

    /// Counts a request by the place of its route. `None` is a path without a route of its own.
    pub fn count(&self, route: Option<usize>, method: &Method, status: StatusCode, took: Duration) {
        let route = route.and_then(|place| self.routes.get(place)).unwrap_or(&self.other);
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len());
        let status = STATUSES.binary_search_by_key(&status.as_u16(), |(code, _)| *code).unwrap_or(STATUSES.len());
        if let Some(count) = route.counts.get(method).and_then(|counts| counts.get(status)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        route.durations.note(took);
    }

    pub(super) fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let routes = || self.routes.iter().chain([&self.other]);
        let help = "Requests, by route, method and status.";
        page.counters("http_requests", help, routes().flat_map(RouteCounts::rows))?;
        let rows = routes().filter_map(|route| Some(([("route", &*route.route)], route.durations.read()?)));
        page.histograms("http_request_seconds", "How long requests took, by route.", rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order_and_named_by_their_number() {
        assert!(STATUSES.is_sorted_by(|(one, _), (next, _)| one < next));
        assert!(STATUSES.iter().all(|(code, name)| code.to_string() == *name));
    }

    #[test]
    fn unknown_methods_and_statuses_share_a_label() {
        let counts = RequestCounts::new(&["/a".to_owned()]);
        for method in ["BREW", "PROPFIND"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            for status in [StatusCode::IM_A_TEAPOT, StatusCode::LOCKED] {
                counts.count(Some(7), &method, status, Duration::ZERO);
            }
        }
        let rows: Vec<_> = counts.other.rows().collect();
        assert_eq!(rows, [([("route", OTHER), ("method", OTHER), ("status", OTHER)], 4)]);
        assert_eq!(counts.routes[0].rows().count(), 0);
    }
}
