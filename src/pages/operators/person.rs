//! The account that is shown, and what the operator may do with it.

use std::{future::Future, pin::Pin};

use leptos::{prelude::*, task::spawn_local};

use super::{address::Address, listing::Listing};
use crate::{
    browser::dom,
    components::{action_status::ActionStatus, reauth_prompt::ReauthPrompt},
    domain::{
        act::Act,
        directory::{AccountDetails, AccountLine},
    },
    error::AppError,
    json::Json,
    session::{AuthState, BearerTransport},
};

/// Shows an account to an operator.
#[server(
    name = ShowAccount, prefix = "/fn", endpoint = "show_account", input = Json, output = Json, client = BearerTransport
)]
pub async fn show_account(
    /// The account's identifier.
    id: String,
) -> Result<AccountDetails, AppError> {
    use crate::{http::context::PageContext, service::Operator};

    let mut context = PageContext::from_request()?;
    let operator: Operator = context.extract().await?;
    Ok(context.service().account_details(&operator, &id).await?)
}

/// A pending change of the account.
pub type Pending = Pin<Box<dyn Future<Output = Result<(), AppError>>>>;

/// The account that is shown. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Person {
    id: StoredValue<String>,
    details: RwSignal<Option<AccountDetails>>,
    error: RwSignal<Option<AppError>>,
    /// Changes after each act, so that the history is loaded again.
    version: RwSignal<u32>,
    /// The address of the page.
    pub address: Address,
    listing: Listing,
    reauth: ReauthPrompt,
}

impl Person {
    /// An account that is being loaded.
    pub fn load(id: String, address: Address, listing: Listing, reauth: ReauthPrompt) -> Self {
        let (details, error, version) = (RwSignal::new(None), RwSignal::new(None), RwSignal::new(0));
        let person = Self { id: StoredValue::new(id), details, error, version, address, listing, reauth };
        person.reload();
        person
    }

    /// Loads the account again. The old data stays until then. The view may no longer exist.
    pub fn reload(self) {
        let Some(id) = self.id.try_get_value() else { return };
        spawn_local(async move {
            match show_account(id).await {
                Ok(details) => {
                    self.error.try_set(None);
                    self.details.try_set(Some(details));
                }
                Err(error) => {
                    self.error.try_set(Some(error));
                }
            }
        });
    }

    /// The identifier. Empty if the view no longer exists.
    #[must_use]
    pub fn id(self) -> String {
        self.id.try_get_value().unwrap_or_default()
    }

    /// Whether the account is loaded.
    #[must_use]
    pub fn is_loaded(self) -> bool {
        self.details.with(Option::is_some)
    }

    /// Why the account could not be loaded.
    #[must_use]
    pub fn error(self) -> Option<AppError> {
        self.error.get()
    }

    /// Reads the details. Returns the default until they are loaded.
    pub fn with<T: Default>(self, read: impl FnOnce(&AccountDetails) -> T) -> T {
        self.details.with(|details| details.as_ref().map(read).unwrap_or_default())
    }

    /// Reads the account.
    pub fn account<T: Default>(self, read: impl FnOnce(&AccountLine) -> T) -> T {
        self.with(|details| read(&details.account))
    }

    /// The username.
    #[must_use]
    pub fn username(self) -> String {
        self.account(|account| account.username.clone())
    }

    /// The number of changes since the account was opened.
    #[must_use]
    pub fn version(self) -> u32 {
        self.version.get()
    }

    /// Whether the operator may do something with the account.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check(self, act: Act) -> Result<(), AppError> {
        let own = AuthState::current().session().map(|session| session.account);
        let (role, id) = own.map(|own| (own.role, own.id)).unwrap_or_default();
        act.check(role, self.account(|account| account.role), id == self.id())
    }

    /// Whether the operator may do something with the account. The reason is shown once for the whole account.
    #[must_use]
    pub fn may(self, act: Act) -> bool {
        self.check(act).is_ok()
    }

    /// Sends a change, after the password was confirmed if that is required. `what` completes the sentence "Enter your
    /// password to …".
    pub async fn change(self, what: &'static str, change: impl Fn() -> Pending) -> Result<(), AppError> {
        let result = self.reauth.with_reauth(what, async || change().await).await;
        if result.is_ok() {
            self.listing.forget();
            self.version.try_update(|version| *version += 1);
        }
        result
    }

    /// Sends a change, and shows its result. `heading` gets the focus, because the button may disappear.
    pub fn act(
        self,
        status: ActionStatus,
        what: &'static str,
        heading: &'static str,
        done: String,
        change: impl Fn() -> Pending + 'static,
    ) {
        status.begin("One moment…");
        spawn_local(async move {
            let result = self.change(what, change).await;
            let is_confirmed = result != Err(AppError::ReauthRequired);
            status.end(result.map(|()| done));
            if is_confirmed {
                self.reload();
                dom::focus_id(heading.to_owned());
            }
        });
    }
}
