//! The accounts of the list, as far as they are loaded.

use leptos::{prelude::*, task::spawn_local};

use crate::{
    browser::dom,
    domain::{
        directory::{AccountLine, AccountPage, AccountQuery},
        page_size::PageSize,
    },
    error::AppError,
    json::Json,
    session::BearerTransport,
};

/// Lists accounts for an operator.
#[server(
    name = ListAccounts, prefix = "/fn", endpoint = "list_accounts", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn list_accounts(
    /// Which ones.
    query: AccountQuery,
) -> Result<AccountPage, AppError> {
    use crate::{http::context::PageContext, service::Operator};

    let mut context = PageContext::from_request()?;
    let operator: Operator = context.extract().await?;
    Ok(context.service().list_accounts(&operator, query).await?)
}

/// How many accounts are added at a time.
const PAGE: usize = 50;
/// How long the page continues by itself while a response has fewer accounts, in milliseconds.
const PATIENCE: f64 = 1000.0;

/// The accounts that are loaded. Cheap to copy. They remain while one of them is shown, so that the way back is short.
#[derive(Clone, Copy)]
pub struct Listing {
    state: RwSignal<Loaded>,
    /// The number of the request, so that the response to an older one is ignored.
    request: StoredValue<u32>,
}

/// What is loaded.
#[derive(Clone, Default)]
pub struct Loaded {
    /// What was asked for. `None` if nothing is loaded.
    pub query: Option<AccountQuery>,
    /// The accounts that were found.
    pub accounts: Vec<AccountLine>,
    /// The number of all accounts, or nearly so.
    pub about: i64,
    /// How many accounts were examined.
    pub examined: i64,
    /// Where to continue. `None` if the list is complete.
    pub next: Option<String>,
    /// Whether the last page was full. Otherwise the server has stopped the search.
    pub is_full: bool,
    /// Whether a request is pending.
    pub is_loading: bool,
    /// Why the last request failed.
    pub error: Option<AppError>,
}

impl Listing {
    /// Without accounts.
    #[must_use]
    pub fn empty() -> Self {
        Self { state: RwSignal::new(Loaded::default()), request: StoredValue::new(0) }
    }

    /// Reads what is loaded, with reactive tracking.
    pub fn with<T>(self, read: impl FnOnce(&Loaded) -> T) -> T {
        self.state.with(read)
    }

    /// Loads the accounts that match, unless they are loaded already.
    pub fn show(self, query: AccountQuery) {
        if self.state.with_untracked(|state| state.query.as_ref() != Some(&query) || state.error.is_some()) {
            // The old accounts stay until the response arrives.
            self.state.update(|state| {
                state.query = Some(query);
                state.next = None;
            });
            self.load(true);
        }
    }

    /// Loads more accounts.
    pub fn more(self) {
        self.load(false);
    }

    /// Loads the accounts again when they are shown next, because one of them has changed. The page may no longer exist.
    pub fn forget(self) {
        self.begin();
        self.state.try_set(Loaded::default());
    }

    /// The number of a new request. Responses to older ones are ignored from now on.
    fn begin(self) -> u32 {
        let request = self.request.try_get_value().unwrap_or_default().wrapping_add(1);
        self.request.try_set_value(request);
        request
    }

    fn load(self, is_new: bool) {
        let request = self.begin();
        self.state.update(|state| {
            state.is_loading = true;
            state.error = None;
        });
        let old = self.state.with_untracked(|state| state.accounts.len());
        spawn_local(async move {
            let (begun, mut is_first, mut found) = (dom::now(), is_new, 0);
            loop {
                let asked = self.state.try_with_untracked(|state| Some((state.query.clone()?, state.next.clone())));
                let Some((query, after)) = asked.flatten() else { return };
                let limit = u32::try_from(PAGE - found).ok().and_then(PageSize::new).unwrap_or_default();
                let result = list_accounts(AccountQuery { after, limit, ..query }).await;
                if self.request.try_get_value() != Some(request) {
                    return;
                }
                let is_failed = result.is_err();
                found += result.as_ref().map_or(0, |page| page.accounts.len());
                let is_late = dom::now() - begun > PATIENCE;
                self.state.update(|state| {
                    state.add(result, is_first);
                    state.is_full = found >= PAGE;
                    state.is_loading = !(is_failed || state.is_full || state.next.is_none() || is_late);
                });
                is_first = false;
                let (is_loading, new) = self.state.with_untracked(|state| {
                    (state.is_loading, state.accounts.get(old).map(|account| account.id.clone()))
                });
                if !is_loading {
                    // The button may disappear, so the focus moves to the first new account.
                    if let Some(id) = new.filter(|_| !is_new) {
                        dom::focus_id(id);
                    }
                    return;
                }
            }
        });
    }
}

impl Loaded {
    fn add(&mut self, result: Result<AccountPage, AppError>, is_first: bool) {
        if is_first {
            self.accounts.clear();
            self.examined = 0;
        }
        let page = match result {
            Ok(page) => page,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        self.accounts.extend(page.accounts);
        self.examined += page.examined;
        self.about = page.about;
        self.next = page.next;
    }
}
