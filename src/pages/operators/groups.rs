//! The groups of the account.

use leptos::{either::EitherOf3, ev::SubmitEvent, prelude::*};

use super::{
    accounts::list_group_names,
    person::{Pending, Person},
};
use crate::{
    browser::dom,
    components::{
        action_status::{ActionStatus, ActionStatusLine},
        loaded::List,
    },
    domain::act::Act,
    error::AppError,
    json::Json,
    session::BearerTransport,
};

/// Adds an account to a group, or removes it from one.
#[server(
    name = ChangeGroup, prefix = "/fn", endpoint = "change_group", input = Json, output = Json, client = BearerTransport
)]
pub async fn change_group(
    /// The account's identifier.
    id: String,
    /// The group's name.
    name: String,
    /// Whether the account joins it.
    joins: bool,
) -> Result<(), AppError> {
    use crate::{
        domain::requests::{self, Parse},
        http::context::PageContext,
        service::ProvenOperator,
    };

    let mut context = PageContext::from_request()?;
    let operator: ProvenOperator = context.extract().await?;
    let name = requests::ChangeGroup { name: name.into() }.parse()?;
    Ok(context.service().change_group_of(&context.caller, &operator, &id, &name, joins).await?)
}

/// The heading's id.
const HEADING: &str = "groups-heading";
/// The id of the select with the groups to add.
const SELECT: &str = "group-select";

/// The section with the groups.
#[component]
pub fn Groups(
    /// The account.
    person: Person,
) -> impl IntoView {
    let (status, all) = (ActionStatus::none(), List::load(|| Box::pin(list_group_names())));
    let own = Memo::new(move |_| person.account(|account| account.groups.clone()));
    let may = Memo::new(move |_| person.may(Act::ChangeGroups));
    let change = move |name: String, joins: bool| {
        let done = if joins { "Added to " } else { "Removed from " };
        let done = [done, &name, "."].concat();
        let call = move || -> Pending { Box::pin(change_group(person.id(), name.clone(), joins)) };
        person.act(status, "change its groups", HEADING, done, call);
    };
    let add = move |event: SubmitEvent| {
        event.prevent_default();
        change(dom::value_of(SELECT), true);
    };
    let chips = move || {
        let chip = |name: String| {
            let (label, shown) = (["Remove from ", &name].concat(), name.clone());
            let remove = may.get().then(|| {
                view! {
                    <button type="button" aria-label=label on:click=move |_| change(name.clone(), false)>
                        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
                            <path d="M7 7l10 10M17 7L7 17" />
                        </svg>
                    </button>
                }
            });
            view! { <li class="chip"><bdi translate="no">{shown}</bdi> {remove}</li> }
        };
        let names = own.get();
        let none = names.is_empty().then(|| view! { <p class="hint">"In no group."</p> });
        view! { <ul class="chips">{names.into_iter().map(chip).collect_view()}</ul> {none} }
    };
    let others = Memo::new(move |_| {
        let own = own.get();
        all.lines().into_iter().filter(|name| !own.contains(name)).collect::<Vec<_>>()
    });
    let form = move || match (may.get(), all.lines().is_empty(), others.with(Vec::is_empty)) {
        (true, true, _) => EitherOf3::A(view! {
            <p class="hint">"The service has no groups. To create one, run " <code>"vestibule group add NAME"</code> " on the server."</p>
        }),
        (true, false, false) => EitherOf3::B(view! {
            <form class="join" on:submit=add>
                <label class="visually-hidden" for=SELECT>"Group to add"</label>
                <select id=SELECT autocomplete="off">
                    {move || others.get().into_iter().map(|name| {
                        let value = name.clone();
                        view! { <option value=value>{name}</option> }
                    }).collect_view()}
                </select>
                <button class="button button-quiet" type="submit">"Add to group"</button>
            </form>
        }),
        _ => EitherOf3::C(()),
    };
    view! {
        <section aria-labelledby=HEADING>
            <h2 id=HEADING tabindex="-1">"Groups"</h2>
            <ActionStatusLine status />
            <div class="panel">{chips} {form}</div>
        </section>
    }
}
