//! Lists accounts for operators, and shows one with its details.
//!
//! A request examines a bounded number of accounts, so that no filter slows down logins. The response says where to
//! continue.

use std::sync::atomic::Ordering;

use super::{Error, Service, permit::Operator, sessions::session_line};
use crate::{
    domain::{
        account::FailedLogins,
        directory::{AccountDetails, AccountLine, AccountPage, AccountQuery, AccountState, EmailFilter},
        group_name::GroupName,
        page_size::PageSize,
        time::{CLOCK_TOLERANCE, Timestamp},
    },
    error::AppError,
    store::{AccountFilter, ActiveSessions, ListedUser, User, key_before_first},
};

/// The number of accounts that a request examines at most: with a text to search for, and with filters only.
const SEARCHED: u32 = 20_000;
const FILTERED: u32 = 50_000;
/// The number of accounts that one statement examines at most.
const STEP: u32 = 5_000;
/// How many requests with a filter run at the same time. Each occupies a connection to the database.
pub(super) const CONCURRENT: usize = 2;
/// Up to this number, accounts are counted for each request.
const EXACT: u32 = 20_000;
/// The longest text to search for, in characters. No email is longer.
const LONGEST: usize = 254;

/// A list in progress.
struct Listing {
    filter: AccountFilter,
    limit: usize,
    found: Vec<ListedUser>,
    examined: i64,
}

impl Service {
    /// Lists accounts. An empty list is complete only if the response says so.
    pub async fn list_accounts(&self, _operator: &Operator, query: AccountQuery) -> Result<AccountPage, Error> {
        let limit = query.limit.get() as usize;
        let about = self.about_accounts().await?;
        let none = AccountPage { accounts: Vec::new(), about, examined: 0, complete: true, next: None };
        let Some(group) = self.group_of(&query).await? else { return Ok(none) };
        let after = query.after.unwrap_or_default();
        let search: String = query.search.unwrap_or_default().trim().chars().take(LONGEST).collect();
        let whole = if search.is_empty() { None } else { self.find_for_operator(&search).await? };
        let filter = AccountFilter {
            order: query.sort.unwrap_or_default(),
            search: search.to_lowercase(),
            except: whole.as_ref().map(|user| user.id.clone()).unwrap_or_default(),
            state: query.state,
            role: query.role,
            email: query.email,
            group: group.id,
        };
        let _slot = if filter.is_empty() {
            None
        } else {
            Some(self.searches.try_acquire().map_err(|_| AppError::Unavailable { retry_after: 1 })?)
        };
        let start = if after.is_empty() { key_before_first(filter.order) } else { &after };
        let mut listing = Listing { filter, limit, found: Vec::new(), examined: 0 };
        if let Some(user) = whole.filter(|_| after.is_empty()) {
            let listed = self.store.find_listed(&user.id).await?;
            let matching = listed.filter(|listed| passes(&listing.filter, &group.name, listed));
            listing.examined += 1;
            listing.found.extend(matching);
        }
        let next = self.continue_listing(&mut listing, start.to_owned()).await?;
        let Listing { found, examined, .. } = listing;
        let accounts = found.into_iter().map(AccountLine::from).collect();
        Ok(AccountPage { accounts, about, examined, complete: next.is_none(), next })
    }

    /// The number of accounts, or nearly so if there are many.
    async fn about_accounts(&self) -> Result<i64, Error> {
        let exact = self.store.count_accounts_up_to(EXACT + 1).await?;
        if exact <= i64::from(EXACT) { Ok(exact) } else { Ok(exact.max(self.accounts.load(Ordering::Relaxed))) }
    }

    /// Adds accounts to a list. Returns where the next request continues.
    async fn continue_listing(&self, listing: &mut Listing, mut after: String) -> Result<Option<String>, Error> {
        let budget = if listing.filter.search.is_empty() { FILTERED } else { SEARCHED };
        // Without a filter every account matches, so the first step is enough.
        let (mut rows, mut left) = (u32::try_from(listing.limit).unwrap_or(PageSize::MAX) + 1, budget);
        loop {
            let wanted = listing.limit.saturating_sub(listing.found.len());
            let limit = u32::try_from(wanted).unwrap_or(PageSize::MAX) + 1;
            let step = self.store.list_step(&listing.filter, &after, rows, limit).await?;
            listing.examined += step.examined;
            let is_full = step.matches.len() > wanted;
            for (key, user) in step.matches.into_iter().take(wanted) {
                after = key;
                listing.found.push(user);
            }
            if is_full {
                return Ok(Some(after));
            }
            after = step.last;
            if step.examined < i64::from(rows) {
                return Ok(None);
            }
            left = left.saturating_sub(rows);
            if left == 0 || listing.found.len() == listing.limit {
                return Ok(Some(after));
            }
            rows = (rows * 4).min(STEP).min(left);
        }
    }

    /// The group to filter by. `None` if it doesn't exist.
    async fn group_of(&self, query: &AccountQuery) -> Result<Option<Group>, Error> {
        let Some(name) = query.group.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(Some(Group::default()));
        };
        let Ok(name) = GroupName::parse(name) else { return Ok(None) };
        let id = self.store.find_group(name.key()).await?;
        Ok(id.map(|id| Group { id, name: name.key().to_owned() }))
    }

    /// The names of all groups, in alphabetical order.
    pub async fn list_group_names(&self, _operator: &Operator) -> Result<Vec<String>, Error> {
        Ok(self.store.list_group_names().await?.into_iter().map(|(_, name)| name).collect())
    }

    /// Shows an account with its details. Returns [`AppError::NotFound`] if there is none with this identifier.
    pub async fn account_details(&self, _operator: &Operator, id: &str) -> Result<AccountDetails, Error> {
        let user = self.account(id).await?;
        let listed = self.store.find_listed(&user.id).await?.ok_or(AppError::NotFound)?;
        let now = self.clock.now();
        let unused_since = now.minus(self.policy.session_idle);
        let active = ActiveSessions { unused_since, now, created_until: now.plus(CLOCK_TOLERANCE) };
        let sessions = self.store.list_sessions(&user.id, active).await?;
        let access_tokens = self.store.list_access_tokens(&user.id, now).await?;
        let strangers = self.rate_limits.unknown_network_key(&user.email);
        let (_, failed) = self.store.attempts_of(&user.id, &strangers).await?;
        let rfc3339 = |millis| Timestamp::from_millis(millis).to_rfc3339();
        Ok(AccountDetails {
            disabled_at: user.disabled_at.map(Timestamp::to_rfc3339),
            pending_since: user.pending_since.map(Timestamp::to_rfc3339),
            email_verified_at: user.email_verified_at.map(Timestamp::to_rfc3339),
            account: listed.into(),
            failed_logins: failed.map(|(count, last)| FailedLogins { count, last_at: rfc3339(last) }),
            sessions: sessions.into_iter().map(|session| session_line(session, None)).collect(),
            access_tokens: access_tokens.into_iter().map(Into::into).collect(),
        })
    }
}

/// The group to filter by. Both are empty for none.
#[derive(Default)]
struct Group {
    id: String,
    /// The key of its name.
    name: String,
}

/// A disabled account is not pending too: enabling it comes first.
const fn state_of(user: &User) -> AccountState {
    match user {
        User { disabled_at: Some(_), .. } => AccountState::Disabled,
        User { pending_since: Some(_), .. } => AccountState::Pending,
        User { .. } => AccountState::Enabled,
    }
}

/// Whether an account passes all filters except the search.
fn passes(filter: &AccountFilter, group: &str, ListedUser { user, .. }: &ListedUser) -> bool {
    let state = state_of(user);
    let email = if user.email_verified_at.is_some() { EmailFilter::Confirmed } else { EmailFilter::Unconfirmed };
    let in_group = |name: &String| GroupName::parse(name).is_ok_and(|name| name.key() == group);
    filter.state.is_none_or(|wanted| wanted == state)
        && filter.role.is_none_or(|wanted| wanted.includes(user.role))
        && filter.email.is_none_or(|wanted| wanted == email)
        && (group.is_empty() || user.groups.iter().any(in_group))
}

impl From<ListedUser> for AccountLine {
    fn from(ListedUser { user, last_login_at }: ListedUser) -> Self {
        Self {
            state: state_of(&user),
            id: user.id,
            email: user.email,
            email_verified: user.email_verified_at.is_some(),
            username: user.username,
            role: user.role,
            groups: user.groups,
            created_at: user.created_at.to_rfc3339(),
            last_login_at: last_login_at.map(Timestamp::to_rfc3339),
        }
    }
}
