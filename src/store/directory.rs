//! Lists accounts for operators: by a key, with filters, in steps of a bounded number of rows.

use super::{
    Error, ListedUser, Store,
    tx::values,
    users::{ListedRow, select_users},
};
use crate::domain::directory::{AccountOrder, AccountState, EmailFilter, RoleFilter};

/// Which accounts to list, without where to begin.
#[derive(Clone, Debug)]
pub struct AccountFilter {
    /// The order.
    pub order: AccountOrder,
    /// A part of the email's or the username's key. Empty for all accounts.
    pub search: String,
    /// The id of an account to leave out. Empty for none.
    pub except: String,
    /// The state.
    pub state: Option<AccountState>,
    /// The role.
    pub role: Option<RoleFilter>,
    /// Whether the email is confirmed.
    pub email: Option<EmailFilter>,
    /// The id of a group. Empty for all accounts.
    pub group: String,
}

/// The result of examining some accounts.
#[derive(Clone, Debug)]
pub struct AccountStep {
    /// How many accounts were examined.
    pub examined: i64,
    /// The key of the last one of them, after which the next step begins.
    pub last: String,
    /// The accounts that match, with their keys.
    pub matches: Vec<(String, ListedUser)>,
}

#[derive(sqlx::FromRow)]
struct KeyedRow {
    key: String,
    #[sqlx(flatten)]
    listed: ListedRow,
}

/// Two statements for an order. The first finds the end of a step: $1 the key before it, $2 its rows. The second finds
/// the matches in it: $1 the key before it, $2 its last key, $3 the limit, $4 to $9 the filters, which an empty text
/// switches off.
macro_rules! step {
    ($key:literal, $after:literal, $until:literal, $order:literal, $last:literal) => {
        [
            concat!(
                "SELECT COUNT(*), ",
                $last,
                "(key) FROM (SELECT ",
                $key,
                " AS key FROM users WHERE ",
                $key,
                $after,
                "$1 ORDER BY ",
                $key,
                $order,
                " LIMIT $2) AS step"
            ),
            select_users!(
                concat!(", last_login_at, ", $key, " AS key"),
                concat!(
                    "WHERE ",
                    $key,
                    $after,
                    "$1 AND ",
                    $key,
                    $until,
                    "$2 AND ($4 = '' OR $4 = CASE WHEN disabled_at IS NOT NULL THEN 'disabled' \
                         WHEN pending_since IS NOT NULL THEN 'pending' ELSE 'enabled' END) \
                     AND ($5 = '' OR ($5 = 'none' AND role IS NULL) OR ($5 = 'any' AND role IS NOT NULL) OR role = $5) \
                     AND ($6 = '' OR ($6 = 'confirmed') = (email_verified_at IS NOT NULL)) \
                     AND ($7 = '' OR EXISTS \
                         (SELECT 1 FROM group_members WHERE user_id = users.id AND group_id = $7)) \
                     AND ($8 = '' OR email_key LIKE $8 ESCAPE '!' OR username_key LIKE $8 ESCAPE '!') \
                     AND users.id <> $9 ORDER BY ",
                    $key,
                    $order,
                    " LIMIT $3"
                )
            ),
        ]
    };
}

const fn statements(order: AccountOrder) -> [&'static str; 2] {
    match order {
        AccountOrder::Newest => step!("users.id", " < ", " >= ", " DESC", "MIN"),
        AccountOrder::Oldest => step!("users.id", " > ", " <= ", "", "MAX"),
        AccountOrder::Username => step!("username_key", " > ", " <= ", "", "MAX"),
        AccountOrder::Email => step!("email_key", " > ", " <= ", "", "MAX"),
    }
}

/// The key before all accounts. An identifier has only hexadecimal digits and hyphens. No other key is as short, and `!`
/// comes before letters and digits in every collation.
#[must_use]
pub const fn key_before_first(order: AccountOrder) -> &'static str {
    match order {
        AccountOrder::Newest => "z",
        AccountOrder::Oldest | AccountOrder::Username | AccountOrder::Email => "!",
    }
}

/// The pattern for a part of a text. Empty for an empty part.
fn pattern(part: &str) -> String {
    if part.is_empty() {
        return String::new();
    }
    let escaped: String = part.chars().flat_map(|c| "!%_".contains(c).then_some('!').into_iter().chain([c])).collect();
    format!("%{escaped}%")
}

impl AccountFilter {
    /// Whether every account passes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.search.is_empty()
            && self.state.is_none()
            && self.role.is_none()
            && self.email.is_none()
            && self.group.is_empty()
    }
}

impl Store {
    /// Examines at most `rows` accounts after the one with the key `after`. Returns at most `limit` that match.
    pub async fn list_step(
        &self,
        filter: &AccountFilter,
        after: &str,
        rows: u32,
        limit: u32,
    ) -> Result<AccountStep, Error> {
        let [find_end, find_matches] = statements(filter.order);
        let state = filter.state.map_or("", AccountState::name);
        let role = filter.role.map_or("", RoleFilter::name);
        let email = filter.email.map_or("", EmailFilter::name);
        let search = pattern(&filter.search);
        self.read(async |conn| {
            let (examined, last): (i64, Option<String>) = conn.fetch_one(find_end, values![after, rows]).await?;
            let Some(last) = last else {
                return Ok(AccountStep { examined, last: after.to_owned(), matches: Vec::new() });
            };
            let values = values![after, &last, limit, state, role, email, &filter.group, &search, &filter.except];
            let found: Vec<KeyedRow> = conn.fetch_all(find_matches, values).await?;
            let matches = found.into_iter().map(|row| (row.key, row.listed.into())).collect();
            Ok(AccountStep { examined, last, matches })
        })
        .await
    }

    /// The number of accounts. Counts at most `most`.
    pub async fn count_accounts_up_to(&self, most: u32) -> Result<i64, Error> {
        let sql = "SELECT COUNT(*) FROM (SELECT id FROM users LIMIT $1) AS counted";
        let (count,): (i64,) = self.read(async |conn| conn.fetch_one(sql, values![most]).await).await?;
        Ok(count)
    }

    /// The number of accounts. This takes long if there are millions.
    pub async fn count_accounts(&self) -> Result<i64, Error> {
        let sql = "SELECT COUNT(*) FROM users";
        let (count,): (i64,) = self.search(async |conn| conn.fetch_one(sql, &[]).await).await?;
        Ok(count)
    }

    /// The account with an id, as in a list.
    pub async fn find_listed(&self, id: &str) -> Result<Option<ListedUser>, Error> {
        let sql = select_users!(", last_login_at", "WHERE id = $1");
        let row: Option<ListedRow> = self.read(async |conn| conn.fetch_optional(sql, values![id]).await).await?;
        Ok(row.map(ListedUser::from))
    }

    /// The identifiers and the names of all groups, by name.
    pub async fn list_group_names(&self) -> Result<Vec<(String, String)>, Error> {
        let sql = "SELECT id, name FROM groups ORDER BY name_key";
        self.read(async |conn| conn.fetch_all(sql, &[]).await).await
    }

    /// The id of a group by the key of its name.
    pub async fn find_group(&self, key: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT id FROM groups WHERE name_key = $1";
        let found: Option<(String,)> = self.read(async |conn| conn.fetch_optional(sql, values![key]).await).await?;
        Ok(found.map(|(id,)| id))
    }
}
