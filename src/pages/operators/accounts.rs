//! The list of accounts.

use leptos::{ev::SubmitEvent, html, prelude::*};

use super::{
    address::{ACCOUNTS, Address, FILTERS, Place, account_url, filter, list_url, set_filter},
    listing::{Listing, Loaded},
};
use crate::{
    browser::dom,
    components::{breakable::breakable, loaded::List},
    domain::{
        directory::{AccountLine, AccountOrder, AccountQuery, AccountState},
        role::Role,
    },
    error::AppError,
    json::Json,
    session::BearerTransport,
};

/// The names of all groups.
#[server(
    name = ListGroupNames, prefix = "/fn", endpoint = "list_group_names", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn list_group_names() -> Result<Vec<String>, AppError> {
    use crate::{http::context::PageContext, service::Operator};

    let mut context = PageContext::from_request()?;
    let operator: Operator = context.extract().await?;
    Ok(context.service().list_group_names(&operator).await?)
}

/// The heading's id.
const HEADING: &str = "accounts-heading";

/// The list with its search and its filters.
#[component]
pub fn Accounts(
    /// The address, which holds the filters.
    address: Address,
    /// The accounts that are loaded.
    listing: Listing,
    /// The title of the document.
    title: RwSignal<String>,
) -> impl IntoView {
    title.set("Accounts".to_owned());
    let query = Memo::new(move |last: Option<&AccountQuery>| match address.place() {
        Place::Accounts(query) => query,
        Place::Account(_) | Place::Nowhere => last.cloned().unwrap_or_default(),
    });
    Effect::new(move |_| listing.show(query.get()));
    let total = move || listing.with(|loaded| (loaded.about > 0).then(|| accounts(loaded.about)));
    view! {
        <div class="places-head">
            <h1 id=HEADING tabindex="-1">"Accounts"</h1>
            <p class="hint">{total}</p>
        </div>
        <Search address query />
        <Filters address query />
        <Found listing query />
    }
}

/// The number of all accounts. If there are many, it is not exact.
fn accounts(about: i64) -> String {
    match about {
        1 => "1 account".to_owned(),
        2..=EXACT => [&grouped(about), " accounts"].concat(),
        _ => ["About ", &grouped(about), " accounts"].concat(),
    }
}

/// Up to this number, the server counts exactly.
const EXACT: i64 = 20_000;

/// A number with a comma between each three digits.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[component]
fn Search(address: Address, query: Memo<AccountQuery>) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let apply = move || {
        let text = input.get_untracked().map(|input| input.value()).unwrap_or_default();
        let mut wanted = query.get_untracked();
        set_filter(&mut wanted, "search", text.trim().to_owned());
        address.go(&list_url(&wanted));
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        apply();
    };
    // The browser has a button that empties the field.
    let emptied = move |event| {
        if event_target_value(&event).is_empty() && query.with_untracked(|query| query.search.is_some()) {
            apply();
        }
    };
    view! {
        <form class="search" role="search" on:submit=submit>
            <label class="visually-hidden" for="account-search">"Email, username or id"</label>
            <input
                node_ref=input
                id="account-search"
                type="search"
                placeholder="Email, username or id"
                autocomplete="off"
                autocapitalize="none"
                spellcheck="false"
                maxlength="254"
                prop:value=move || query.with(|query| filter(query, "search"))
                on:input=emptied
            />
            <button class="button" type="submit">"Search"</button>
        </form>
    }
}

/// The values of a filter with their labels. The first switches it off.
type Choices = &'static [(&'static str, &'static str)];

const STATES: Choices =
    &[("", "Any"), ("enabled", "Enabled"), ("disabled", "Disabled"), ("pending", "Waits for approval")];
const ROLES: Choices = &[
    ("", "Any or none"),
    ("any", "Any role"),
    ("admin", "Admin"),
    ("support", "Support"),
    ("auditor", "Auditor"),
    ("none", "No role"),
];
const EMAILS: Choices = &[("", "Any"), ("confirmed", "Confirmed"), ("unconfirmed", "Not confirmed")];
const ORDERS: Choices =
    &[("", "Newest first"), ("oldest", "Oldest first"), ("username", "Username"), ("email", "Email")];

#[component]
fn Filters(address: Address, query: Memo<AccountQuery>) -> impl IntoView {
    let names = List::load(|| Box::pin(list_group_names()));
    // A link may name a group that was deleted.
    let groups = move || {
        let (mut names, wanted) = (names.lines(), query.with(|query| filter(query, "group")));
        if !wanted.is_empty() && !names.contains(&wanted) {
            names.push(wanted);
        }
        let any = (String::new(), "Any or none".to_owned());
        [any].into_iter().chain(names.into_iter().map(|name| (name.clone(), name))).collect::<Vec<_>>()
    };
    let fixed = |choices: Choices| {
        move || choices.iter().map(|(value, label)| ((*value).to_owned(), (*label).to_owned())).collect::<Vec<_>>()
    };
    view! {
        <div class="filters" role="group" aria-label="Filters">
            <Filter address query label="State" name="state" choices=fixed(STATES) />
            <Filter address query label="Role" name="role" choices=fixed(ROLES) />
            <Filter address query label="Group" name="group" choices=groups />
            <Filter address query label="Email" name="email" choices=fixed(EMAILS) />
            <Filter address query label="Sort by" name="sort" choices=fixed(ORDERS) />
        </div>
    }
}

/// A filter, which applies at once. It has no id, because the page restores the values of selects by their ids.
#[component]
fn Filter<F>(
    address: Address,
    query: Memo<AccountQuery>,
    label: &'static str,
    name: &'static str,
    choices: F,
) -> impl IntoView
where
    F: Fn() -> Vec<(String, String)> + Send + Sync + 'static,
{
    let value = Memo::new(move |_| query.with(|query| filter(query, name)));
    // The arrow keys pass through all values. These steps must not become history entries.
    let choose = move |event| {
        let mut wanted = query.get_untracked();
        set_filter(&mut wanted, name, event_target_value(&event));
        address.replace(&list_url(&wanted));
    };
    let options = move || {
        let option = |(text, label): (String, String)| {
            let own = text.clone();
            view! { <option value=text prop:selected=move || value.get() == own>{label}</option> }
        };
        choices().into_iter().map(option).collect_view()
    };
    view! {
        <label class="filter">
            <span>{label}</span>
            <select autocomplete="off" class:is-set=move || !value.get().is_empty() on:change=choose>{options}</select>
        </label>
    }
}

/// The columns of the table.
const COLUMNS: [&str; 7] = ["Username", "Email", "State", "Role", "Groups", "Created", "Last login"];

/// The accounts that were found, and how to continue.
#[component]
fn Found(listing: Listing, query: Memo<AccountQuery>) -> impl IntoView {
    let is_empty = Memo::new(move |_| listing.with(|loaded| loaded.accounts.is_empty()));
    let busy = move || if listing.with(|loaded| loaded.is_loading) { "true" } else { "false" };
    let lines = move || {
        let accounts = listing.with(|loaded| loaded.accounts.clone());
        accounts.into_iter().map(|account| view! { <Line account /> }).collect_view()
    };
    let table = move || {
        (!is_empty.get()).then(|| {
            view! {
                <table class="accounts" role="table" aria-labelledby=HEADING aria-busy=busy>
                    <thead role="rowgroup">
                        <tr role="row">
                            {COLUMNS.map(|name| view! { <th role="columnheader" scope="col">{name}</th> }).collect_view()}
                        </tr>
                    </thead>
                    <tbody role="rowgroup">{lines}</tbody>
                </table>
            }
        })
    };
    let summary = Memo::new(move |_| listing.with(|loaded| query.with(|query| summary(loaded, query))));
    let action = Memo::new(move |_| {
        listing.with(|loaded| match loaded {
            Loaded { is_loading: true, .. } => None,
            Loaded { error: Some(_), .. } => Some("Try again"),
            Loaded { next: None, .. } => None,
            Loaded { is_full: true, .. } => Some("Show more"),
            _ => Some("Search on"),
        })
    });
    let clear = move || {
        query.with(is_filtered).then(|| view! { <a class="button button-quiet" href=ACCOUNTS>"Clear filters"</a> })
    };
    view! {
        {table}
        <div class="found" class:empty=is_empty>
            <p role="status" prop:textContent=summary></p>
            <p class="actions">
                {move || action.get().map(|label| view! {
                    <button class="button button-quiet" type="button" on:click=move |_| listing.more()>{label}</button>
                })}
                {clear}
            </p>
        </div>
    }
}

/// Whether some accounts may not match. The order is no filter.
fn is_filtered(query: &AccountQuery) -> bool {
    FILTERS.iter().any(|name| *name != "sort" && !filter(query, name).is_empty())
}

/// Says how much was found, and where.
fn summary(loaded: &Loaded, query: &AccountQuery) -> String {
    if let Some(error) = &loaded.error {
        return error.to_string();
    }
    if loaded.is_loading {
        return if loaded.accounts.is_empty() { "Loading accounts…" } else { "Loading…" }.to_owned();
    }
    let found = loaded.accounts.len();
    let found_text = grouped(i64::try_from(found).unwrap_or(i64::MAX));
    match (&loaded.next, found) {
        (None, 0) if is_filtered(query) => "No accounts match.".to_owned(),
        (None, 0) => "No accounts yet.".to_owned(),
        (None, 1) if is_filtered(query) => "1 account matches.".to_owned(),
        (None, _) if is_filtered(query) => [&found_text, " accounts match."].concat(),
        (None, _) => "This is everything.".to_owned(),
        (Some(_), _) if loaded.is_full => [&found_text, " shown."].concat(),
        (Some(_), _) => {
            let order = match query.sort {
                None | Some(AccountOrder::Newest) => " found among the newest ",
                Some(AccountOrder::Oldest) => " found among the oldest ",
                Some(AccountOrder::Username | AccountOrder::Email) => " found among the first ",
            };
            let count = if found == 0 { "None" } else { &found_text };
            let (examined, all) = (grouped(loaded.examined), grouped(loaded.about));
            [count, order, &examined, " of about ", &all, " accounts."].concat()
        }
    }
}

/// An account. The row has the account's identifier for the focus.
#[component]
fn Line(account: AccountLine) -> impl IntoView {
    let AccountLine { id, email, email_verified, username, state, role, groups, created_at, last_login_at } = account;
    let is_enabled = state == AccountState::Enabled;
    let last_login = last_login_at.map_or_else(|| "Never".to_owned(), |time| dom::short_date(&time));
    view! {
        <tr role="row">
            <th role="rowheader" scope="row">
                <a id=id.clone() href=account_url(&id) translate="no"><bdi>{username}</bdi></a>
            </th>
            <td role="cell" class="cell-email" translate="no">
                <bdi>{breakable(&email)}</bdi>
                " "
                {(!email_verified).then(|| view! { <span class="tag tag-open">"not confirmed"</span> })}
            </td>
            <td role="cell" class="cell-state">
                <span class=(!is_enabled).then_some("tag tag-wrong")>{state_name(state)}</span>
            </td>
            <td role="cell" class="cell-role">{role.map(|role| view! { <span class="tag tag-role">{role_name(role)}</span> })}</td>
            <td role="cell" class="cell-groups" translate="no">
                {groups.into_iter().map(|name| view! { <span class="tag tag-open"><bdi>{name}</bdi></span> " " }).collect_view()}
            </td>
            <td role="cell" class="cell-created" data-label="Created">{dom::short_date(&created_at)}</td>
            <td role="cell" class="cell-login" data-label="Last login">{last_login}</td>
        </tr>
    }
}

/// A state as people read it.
const fn state_name(state: AccountState) -> &'static str {
    match state {
        AccountState::Enabled => "Enabled",
        AccountState::Disabled => "Disabled",
        AccountState::Pending => "Waits",
    }
}

/// A role as people read it.
#[must_use]
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "Admin",
        Role::Support => "Support",
        Role::Auditor => "Auditor",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_comma_between_each_three_digits() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (20_001, "20,001"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    fn loaded(examined: i64, next: Option<&str>) -> Loaded {
        Loaded { about: 1_000_000, examined, next: next.map(str::to_owned), ..Loaded::default() }
    }

    #[test]
    fn the_summary_says_how_much_was_examined_r149() {
        let all = AccountQuery::default();
        let disabled = AccountQuery { state: Some(AccountState::Disabled), ..all.clone() };
        assert_eq!(summary(&loaded(0, None), &all), "No accounts yet.");
        assert_eq!(summary(&loaded(50_000, None), &disabled), "No accounts match.");
        let bounded = "None found among the newest 50,000 of about 1,000,000 accounts.";
        assert_eq!(summary(&loaded(50_000, Some("x")), &disabled), bounded);
        let first = AccountQuery { sort: Some(AccountOrder::Email), ..disabled };
        assert!(summary(&loaded(50_000, Some("x")), &first).contains("among the first 50,000"));
    }
}
