//! The path and the query of the operators' page.
//!
//! The query holds the filters of the list, so that a link, a reload and the back button keep them.

use js_sys::{decode_uri_component, encode_uri_component};
use leptos::{ev, prelude::*, wasm_bindgen::JsValue};

use crate::{
    browser::location::clicked_link,
    domain::directory::{AccountOrder, AccountQuery, AccountState, EmailFilter, RoleFilter},
};

/// The path of the list of accounts. That of an account continues with its identifier.
pub const ACCOUNTS: &str = "/operators/accounts";
/// The paths of all places begin with this.
const ROOT: &str = "/operators";

/// A place of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The accounts that match.
    Accounts(AccountQuery),
    /// The account with this identifier.
    Account(String),
    /// Any other path.
    Nowhere,
}

/// The current place. Cheap to copy. Exists only in the browser.
#[derive(Clone, Copy)]
pub struct Address {
    place: RwSignal<Place>,
    /// The address of the list as it was last shown.
    list: StoredValue<String>,
}

impl Address {
    /// The place in the browser's address bar. Handles links within the page and the back button.
    pub fn follow() -> Self {
        let address = Self { place: RwSignal::new(Place::Nowhere), list: StoredValue::new(ACCOUNTS.to_owned()) };
        address.read();
        let back = window_event_listener(ev::popstate, move |_| address.read());
        let click = window_event_listener(ev::click, move |event| {
            if let Some(link) = clicked_link(&event).filter(|link| link.starts_with(ROOT)) {
                event.prevent_default();
                address.go(&link);
            }
        });
        on_cleanup(move || {
            back.remove();
            click.remove();
        });
        address
    }

    /// The place, with reactive tracking.
    #[must_use]
    pub fn place(self) -> Place {
        self.place.get()
    }

    /// The identifier of the account that is shown, with reactive tracking.
    #[must_use]
    pub fn account(self) -> Option<String> {
        self.place.with(|place| match place {
            Place::Account(id) => Some(id.clone()),
            Place::Accounts(_) | Place::Nowhere => None,
        })
    }

    /// The path of the entry in the navigation, with reactive tracking.
    #[must_use]
    pub fn path(self) -> &'static str {
        self.place.with(|place| if *place == Place::Nowhere { "" } else { ACCOUNTS })
    }

    /// The address of the list as it was last shown. `None` if the page no longer exists.
    #[must_use]
    pub fn list(self) -> Option<String> {
        self.list.try_get_value()
    }

    /// Goes to an address of the page.
    pub fn go(self, url: &str) {
        if url != here() {
            drop(window().history().map(|history| history.push_state_with_url(&JsValue::NULL, "", Some(url))));
        }
        window().scroll_to_with_x_and_y(0.0, 0.0);
        self.read();
    }

    /// Goes to an address of the page without a new history entry.
    pub fn replace(self, url: &str) {
        drop(window().history().map(|history| history.replace_state_with_url(&JsValue::NULL, "", Some(url))));
        self.read();
    }

    /// Reads the browser's address bar, unless it shows another view.
    fn read(self) {
        let path = location().pathname().unwrap_or_default();
        if !path.starts_with(ROOT) {
            return;
        }
        let place = match path.trim_end_matches('/').strip_prefix(ROOT) {
            Some("" | "/accounts") => Place::Accounts(parse(&location().search().unwrap_or_default())),
            Some(rest) => match rest.strip_prefix("/accounts/") {
                Some(id) => Place::Account(id.to_owned()),
                None => Place::Nowhere,
            },
            None => Place::Nowhere,
        };
        if let Place::Accounts(query) = &place {
            self.list.set_value(list_url(query));
        }
        if self.place.with_untracked(|shown| *shown != place) {
            self.place.set(place);
        }
    }
}

/// The path and the query in the browser's address bar.
fn here() -> String {
    [location().pathname().unwrap_or_default(), location().search().unwrap_or_default()].concat()
}

/// The address of an account.
#[must_use]
pub fn account_url(id: &str) -> String {
    [ACCOUNTS, "/", id].concat()
}

/// The names of the filters in the query, which are those of the API.
pub const FILTERS: [&str; 6] = ["search", "state", "role", "group", "email", "sort"];

/// The address of a list.
#[must_use]
pub fn list_url(query: &AccountQuery) -> String {
    let mut url = ACCOUNTS.to_owned();
    for name in FILTERS {
        let value = filter(query, name);
        if !value.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url = [&url, name, "=", &String::from(encode_uri_component(&value))].concat();
        }
    }
    url
}

fn parse(search: &str) -> AccountQuery {
    let mut query = AccountQuery::default();
    let pairs = search.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('='));
    for (name, value) in pairs {
        if let Ok(value) = decode_uri_component(&value.replace('+', " ")) {
            set_filter(&mut query, name, String::from(value));
        }
    }
    query
}

/// The value of a filter. Empty if it is off.
#[must_use]
pub fn filter(query: &AccountQuery, name: &str) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match name {
        "search" => text(&query.search),
        "group" => text(&query.group),
        "state" => query.state.map_or("", AccountState::name).to_owned(),
        "role" => query.role.map_or("", RoleFilter::name).to_owned(),
        "email" => query.email.map_or("", EmailFilter::name).to_owned(),
        _ => query.sort.map_or("", AccountOrder::name).to_owned(),
    }
}

/// Sets a filter. An empty or an unknown value switches it off.
pub fn set_filter(query: &mut AccountQuery, name: &str, value: String) {
    match name {
        "search" => query.search = Some(value).filter(|text| !text.trim().is_empty()),
        "group" => query.group = Some(value).filter(|text| !text.is_empty()),
        "state" => query.state = AccountState::ALL.into_iter().find(|state| state.name() == value),
        "role" => query.role = RoleFilter::ALL.into_iter().find(|role| role.name() == value),
        "email" => query.email = EmailFilter::ALL.into_iter().find(|email| email.name() == value),
        "sort" => query.sort = AccountOrder::ALL.into_iter().find(|order| order.name() == value),
        _ => {}
    }
}
