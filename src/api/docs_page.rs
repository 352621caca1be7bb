//! The API's documentation for people: one page, generated from the OpenAPI document. It loads only its styles. Under
//! `cargo leptos watch` it also has the script that reloads it.

mod fields;

use std::sync::OnceLock;

use axum::{
    extract::State,
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST},
    },
    response::{IntoResponse, Response},
};
use leptos::{
    either::Either,
    hydration::AutoReload,
    nonce::{provide_nonce, use_nonce},
    prelude::*,
};
use utoipa::{
    PartialSchema,
    openapi::{HttpMethod, path::Operation},
};

use self::fields::{Field, ResponseDoc, example, of_parameters, of_request, of_responses, of_schema};
use super::{
    Endpoint, endpoints,
    openapi::{ABOUT, code_and_message, common_errors},
};
use crate::{
    browser::settings,
    components::icon::Mark,
    error::AppError,
    http::{
        assets::page_files,
        response::{ErrorBody, ErrorFormat},
        state::AppState,
    },
};

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The page and its content security policy. Only the server's address differs between requests.
static PAGE: OnceLock<(String, HeaderValue)> = OnceLock::new();

pub async fn serve(State(state): State<AppState>, request: HeaderMap) -> Response {
    let (page, policy) = PAGE.get_or_init(|| {
        Owner::new().with(|| {
            provide_context(state.clone());
            provide_nonce();
            (page(&state).to_html(), policy(&state))
        })
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy.clone()),
    ];
    (headers, page.replace(SERVER, &address(&state, &request))).into_response()
}

/// The page's policy. Only `cargo leptos watch` needs a script, which listens for changes.
fn policy(state: &AppState) -> HeaderValue {
    let nonce = use_nonce().filter(|_| state.files.reload);
    let reload =
        nonce.map(|nonce| format!("; script-src 'nonce-{nonce}'; connect-src ws://*:{}", state.leptos.reload_port));
    let policy = [POLICY, &reload.unwrap_or_default()].concat();
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(POLICY))
}

/// The path of the page's styles. They are a separate file because the first visit to other pages doesn't need them.
pub const STYLE_PATH: &str = "/api/docs.css";

pub async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../style/manual.css"))
}

/// The placeholder for the server's address, replaced at each request.
const SERVER: &str = "$SERVER";

/// The server's address for use in a command: the configured one, or else the host of the request.
///
/// A host with characters that a shell could interpret is not used; the placeholder stays for the reader to replace.
fn address(state: &AppState, request: &HeaderMap) -> String {
    if let Some(origin) = &state.trust.public_origin {
        return origin.clone();
    }
    let host = request.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return SERVER.to_owned();
    }
    ["http://", host].concat()
}

/// The documentation of an endpoint.
struct EndpointDoc {
    path: String,
    method: &'static str,
    operation: Operation,
    format: ErrorFormat,
    errors: Vec<AppError>,
}

impl EndpointDoc {
    fn of(call: Endpoint) -> Option<Self> {
        let Endpoint { routes: (_, paths, _), format, errors } = call;
        let (path, item) = paths.paths.into_iter().next()?;
        let methods = [(HttpMethod::Get, item.get), (HttpMethod::Post, item.post), (HttpMethod::Delete, item.delete)];
        let (method, operation) = methods.into_iter().find_map(|(method, operation)| Some((method, operation?)))?;
        let method = match method {
            HttpMethod::Get => "GET",
            HttpMethod::Delete => "DELETE",
            _ => "POST",
        };
        Some(Self { path, method, operation, format, errors })
    }

    fn tag(&self) -> &str {
        self.operation.tags.as_ref().and_then(|tags| tags.first()).map_or("", String::as_str)
    }

    /// An example `curl` command.
    fn command(&self) -> String {
        let Self { path, method, operation, .. } = self;
        let bearer = operation.security.as_ref().map(|_| "-H \"Authorization: Bearer $TOKEN\"".to_owned());
        let body = example(operation).map(|body| format!("-H 'Content-Type: application/json' \\\n  -d '{body}'"));
        let call = format!("curl -X {method} \"{SERVER}{}\"", path.replace("{id}", "$ID"));
        [Some(call), bearer, body].into_iter().flatten().collect::<Vec<_>>().join(" \\\n  ")
    }
}

/// The endpoints grouped by heading, in the order in which they are declared.
fn chapters() -> Vec<(String, Vec<EndpointDoc>)> {
    let mut parts: Vec<(String, Vec<EndpointDoc>)> = Vec::new();
    for chapter in endpoints().filter_map(EndpointDoc::of) {
        match parts.iter_mut().find(|(tag, _)| tag == chapter.tag()) {
            Some((_, chapters)) => chapters.push(chapter),
            None => parts.push((chapter.tag().to_owned(), vec![chapter])),
        }
    }
    parts
}

fn page(state: &AppState) -> impl IntoView + use<> {
    let reload = state.files.reload.then(|| state.leptos.clone());
    let parts = chapters();
    let anchor = |tag: &str| tag.to_lowercase().replace(' ', "-");
    let links = parts.iter().map(|(tag, chapters)| {
        let calls = chapters.iter().map(|chapter| {
            let Operation { operation_id, summary, .. } = &chapter.operation;
            view! { <li><a href=format!("#{}", operation_id.as_deref().unwrap_or_default())>{summary.clone()}</a></li> }
        });
        view! {
            <li><a href=format!("#{}", anchor(tag))>{tag.clone()}</a><ul class="calls">{calls.collect_view()}</ul></li>
        }
    });
    let links = links.collect_view();
    let sections = parts.into_iter().map(|(tag, chapters)| {
        view! {
            <section aria-labelledby=anchor(&tag)>
                <h2 id=anchor(&tag)>{tag.clone()}</h2>
                {chapters.iter().map(article).collect_view()}
            </section>
        }
    });
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <title>{["API · ", &settings::SERVICE.get()].concat()}</title>
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                <link rel="stylesheet" href=page_files().style />
                <link rel="stylesheet" href=STYLE_PATH />
                {reload.map(|options| view! { <AutoReload options /> })}
            </head>
            <body>
                <a class="skip" href="#content">"Skip to content"</a>
                <div class="frame">
                    <header class="bar">
                        <a class="brand" href="/login"><Mark />{settings::SERVICE.get()}</a>
                        <nav class="contents" aria-label="Parts of the API">
                            <ul>{links}<li><a href="#errors">"Errors"</a></li><li><a href="/account">"Your account"</a></li></ul>
                        </nav>
                    </header>
                    <main id="content" class="manual" tabindex="-1">
                        <h1>"The API"</h1>
                        {ABOUT.split("\n\n").map(|text| view! { <p class="lead">{prose(text)}</p> }).collect_view()}
                        <p class="lead">
                            "The same reference is available as an "
                            <a href="/api/openapi.json">"OpenAPI document"</a>"."
                        </p>
                        <p class="lead">"In the commands below, set "<code>"TOKEN"</code>" to the "<code>"token"</code>" that logging in returns, and "
                            <code>"ID"</code>" to an "<code>"id"</code>" from a list."</p>
                        {sections.collect_view()}
                        {errors()}
                    </main>
                </div>
            </body>
        </html>
    }
}

fn article(chapter: &EndpointDoc) -> impl IntoView + use<> {
    let EndpointDoc { path, method, operation, format, errors } = chapter;
    let id = operation.operation_id.clone().unwrap_or_default();
    let parameters = of_parameters(operation);
    let parameters = (!parameters.is_empty()).then(|| view! { <h4>"Parameters"</h4> {listed(parameters)} });
    let asked = operation.request_body.as_ref().map(|_| view! { <h4>"Send"</h4> {listed(of_request(operation))} });
    let given = of_responses(operation).into_iter().map(|ResponseDoc { status, about, fields }| {
        let fields = (!fields.is_empty()).then(|| listed(fields));
        view! { <dt><code>{status}</code></dt><dd>{prose(&about)}{fields}</dd> }
    });
    let given = given.collect_view();
    let refused = errors.iter().map(|error| refused(*format, error)).collect_view();
    view! {
        <article class="call" aria-labelledby=id.clone()>
            <h3 id=id.clone()>{operation.summary.clone()}</h3>
            <p class="address"><strong>{*method}</strong>" "<code>{path.clone()}</code></p>
            <p>{prose(operation.description.as_deref().unwrap_or_default())}</p>
            {parameters}
            {asked}
            <pre tabindex="0">{chapter.command()}</pre>
            <h4>"Responses"</h4>
            <dl class="answers">{given}{refused}</dl>
        </article>
    }
}

/// The errors that every endpoint can return.
fn errors() -> impl IntoView {
    let all = common_errors(true).iter().map(|error| refused(ErrorFormat::Api, error)).collect_view();
    view! {
        <section aria-labelledby="errors">
            <h2 id="errors">"Errors"</h2>
            <p class="lead">"An error's body has these fields. The first two endpoints return other fields, listed with them."</p>
            {listed(of_schema(&ErrorBody::schema()))}
            <p class="lead">"Every endpoint can return these errors, besides its own:"</p>
            <dl class="answers">{all}</dl>
        </section>
    }
}

fn refused(format: ErrorFormat, error: &AppError) -> impl IntoView + use<> {
    let (code, message) = code_and_message(format, error);
    let code = code.map(|code| view! { <code>{code}</code><br /> });
    view! { <dt><code>{error.status()}</code></dt><dd>{code}{message}</dd> }
}

/// A list of fields, with nested lists for the fields that contain others.
fn listed(fields: Vec<Field>) -> AnyView {
    let each = fields.into_iter().map(|Field { name, kind, about, within }| {
        let within = (!within.is_empty()).then(|| listed(within));
        view! { <li><code>{name}</code>" "<span class="kind">{kind}</span><p>{prose(&about)}</p>{within}</li> }
    });
    view! { <ul class="fields">{each.collect_view()}</ul> }.into_any()
}

/// A text with its parts in backquotes shown as code.
fn prose(text: &str) -> impl IntoView + use<> {
    let parts = text.split('`').enumerate().map(|(at, part)| match at % 2 {
        0 => Either::Left(part.to_owned()),
        _ => Either::Right(view! { <code>{part.to_owned()}</code> }),
    });
    parts.collect_view()
}
