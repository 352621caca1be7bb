//! Who the account is: its username, its email, its role and its dates.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{
    accounts::role_name,
    person::{Pending, Person},
};
use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        breakable::breakable,
        field::TextField,
        form::{FormAlert, FormButtons, FormState},
        rows::{Fact, OpenRow, Row, SEPARATOR},
    },
    domain::{
        act::Act,
        directory::{AccountDetails, AccountState},
        role::Role,
    },
    error::{AppError, Field},
    json::Json,
    session::BearerTransport,
};

/// Changes an account's username, for an admin.
#[server(
    name = RenameAccount, prefix = "/fn", endpoint = "rename_account", input = Json, output = Json,
    client = BearerTransport
)]
pub async fn rename_account(
    /// The account's identifier.
    id: String,
    /// The new username.
    username: String,
) -> Result<(), AppError> {
    use crate::{
        domain::requests::{self, Parse},
        http::context::PageContext,
        service::ProvenOperator,
    };

    let mut context = PageContext::from_request()?;
    let operator: ProvenOperator = context.extract().await?;
    let username = requests::RenameAccount { username: username.into() }.parse()?;
    Ok(context.service().rename_account(&context.caller, &operator, &id, username).await?)
}

/// Gives an account a role, or takes its role away, for an admin.
#[server(
    name = ChangeRole, prefix = "/fn", endpoint = "change_role", input = Json, output = Json, client = BearerTransport
)]
pub async fn change_role(
    /// The account's identifier.
    id: String,
    /// The role. `None` takes it away.
    role: Option<Role>,
) -> Result<(), AppError> {
    use crate::{http::context::PageContext, service::ProvenOperator};

    let mut context = PageContext::from_request()?;
    let operator: ProvenOperator = context.extract().await?;
    context.service().change_role(&context.caller, &operator, &id, role).await?;
    Ok(())
}

/// The heading's id.
pub const HEADING: &str = "identity-heading";

/// The section with the account's facts.
#[component]
pub fn Identity(
    /// The account.
    person: Person,
) -> impl IntoView {
    let rows = OpenRow::none();
    let date = |time: Option<&String>, none: &str| time.map_or_else(|| none.to_owned(), |time| dom::short_time(time));
    let state = move |details: &AccountDetails| match details.account.state {
        AccountState::Enabled => "Enabled".to_owned(),
        AccountState::Pending => ["Waits for approval since ", &date(details.pending_since.as_ref(), "")].concat(),
        AccountState::Disabled => ["Disabled since ", &date(details.disabled_at.as_ref(), "")].concat(),
    };
    let confirmed = move |details: &AccountDetails| match &details.email_verified_at {
        Some(time) => ["Confirmed on ", &dom::short_time(time)].concat(),
        None => "Not confirmed".to_owned(),
    };
    let failed = move || {
        let failed = person.with(|details| details.failed_logins.clone())?;
        Some(
            view! { <Fact label="Failed logins">{failed.count} {SEPARATOR} "the last on " {dom::short_time(&failed.last_at)}</Fact> },
        )
    };
    view! {
        <section aria-labelledby=HEADING>
            <h2 id=HEADING tabindex="-1">"Profile"</h2>
            <dl class="rows">
                <UsernameRow person rows />
                <Fact label="Email">
                    <p><bdi translate="no">{move || breakable(&person.account(|account| account.email.clone()))}</bdi></p>
                    <p class="hint">{move || person.with(confirmed)}</p>
                </Fact>
                <RoleRow person rows />
                <Fact label="State">{move || person.with(state)}</Fact>
                <Fact label="Created">{move || person.account(|account| date(Some(&account.created_at), ""))}</Fact>
                <Fact label="Last login">{move || person.account(|account| date(account.last_login_at.as_ref(), "Never"))}</Fact>
                {failed}
                <Fact label="Identifier"><code translate="no">{person.id()}</code></Fact>
            </dl>
        </section>
    }
}

/// The identifier of the row with the username.
const USERNAME: &str = "username";

#[component]
fn UsernameRow(person: Person, rows: OpenRow) -> impl IntoView {
    let status = ActionStatus::none();
    let may = Memo::new(move |_| person.may(Act::Rename));
    let username = move || view! { <p><bdi translate="no">{move || person.username()}</bdi></p> };
    move || {
        if may.get() {
            view! {
                <Row
                    rows
                    row=USERNAME
                    label="Username"
                    change="Change the username"
                    first="rename-username"
                    status
                    form=move || view! { <UsernameForm person rows status /> }.into_any()
                >
                    {username()}
                </Row>
            }
            .into_any()
        } else {
            view! { <Fact label="Username">{username()}</Fact> }.into_any()
        }
    }
}

#[component]
fn UsernameForm(person: Person, rows: OpenRow, status: ActionStatus) -> impl IntoView {
    let form = FormState::new("rename");
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([username]) = form.begin([Field::Username]) else { return };
        spawn_local(async move {
            let change = || -> Pending { Box::pin(rename_account(person.id(), username.clone())) };
            let result = person.change("change the username", change).await;
            if form.finish(result).is_some() {
                status.end(Ok(["The username is now ", username.trim(), "."].concat()));
                person.reload();
                rows.close(USERNAME);
            }
        });
    };
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <FormAlert form />
            <TextField
                form
                field=Field::Username
                label="New username"
                hint="The old username becomes available to others. Reserved names such as support are allowed."
                autocomplete="off"
                value=person.username()
            />
            <FormButtons form label="Change username" busy="Changing…" cancel=move || rows.close(USERNAME) />
        </form>
    }
}

/// The identifier of the row with the role.
const ROLE: &str = "role";
/// The id of the select with the role.
const ROLE_SELECT: &str = "role-select";
/// What a role is for, in the words of the form.
const ROLES: [(&str, &str); 4] = [
    ("none", "No role"),
    ("auditor", "Auditor: only looks"),
    ("support", "Support: helps users"),
    ("admin", "Admin: runs the service"),
];

#[component]
fn RoleRow(person: Person, rows: OpenRow) -> impl IntoView {
    let status = ActionStatus::none();
    // A role requires a confirmed email.
    let may = Memo::new(move |_| {
        person.may(Act::ChangeRole) && person.account(|account| account.email_verified || account.role.is_some())
    });
    let role = move || person.account(|account| account.role);
    let text = move || view! { <p>{move || role().map_or("No role", role_name)}</p> };
    let hint = move || {
        let is_closed = person.may(Act::ChangeRole) && !may.get();
        is_closed.then(|| view! { <p class="hint">"A role requires a confirmed email."</p> })
    };
    move || {
        if may.get() {
            view! {
                <Row
                    rows
                    row=ROLE
                    label="Role"
                    change="Change the role"
                    first=ROLE_SELECT
                    status
                    form=move || view! { <RoleForm person rows status /> }.into_any()
                >
                    {text()}
                </Row>
            }
            .into_any()
        } else {
            view! { <Fact label="Role">{text()} {hint}</Fact> }.into_any()
        }
    }
}

#[component]
fn RoleForm(person: Person, rows: OpenRow, status: ActionStatus) -> impl IntoView {
    let (form, failure) = (FormState::new("role"), ActionStatus::none());
    let present = person.account(|account| account.role).map_or("none", Role::name);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some([]) = form.begin([]) else { return };
        let role = Role::named(&dom::value_of(ROLE_SELECT));
        failure.clear();
        spawn_local(async move {
            let change = || -> Pending { Box::pin(change_role(person.id(), role)) };
            let result = person.change("change the role", change).await;
            form.cancel();
            if let Err(error) = result {
                failure.end(Err(error));
                return;
            }
            status.end(Ok(match role {
                Some(role) => ["The account has the role ", role.name(), "."].concat(),
                None => "The account has no role.".to_owned(),
            }));
            person.reload();
            rows.close(ROLE);
        });
    };
    let options = ROLES.map(|(value, label)| view! { <option value=value selected=value == present>{label}</option> });
    view! {
        <form class="form" method="post" novalidate on:submit=submit aria-busy=move || form.aria_busy()>
            <ActionStatusLine status=failure />
            <div class="field">
                <label for=ROLE_SELECT>"New role"</label>
                <select id=ROLE_SELECT autocomplete="off">{options.collect_view()}</select>
                <p class="hint">"The account is logged out everywhere, and its access tokens are revoked."</p>
            </div>
            <FormButtons form label="Change role" busy="Changing…" cancel=move || rows.close(ROLE) />
        </form>
    }
}
