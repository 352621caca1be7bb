//! How server functions are called: with the token, with a limit in time, and with an ear for a session's end.

use std::{future::Future, mem, time::Duration};

use futures_util::{Sink, Stream};
use leptos::{
    leptos_dom::helpers::{set_timeout, window},
    web_sys::{self, AbortController, RequestInit},
};
use server_fn::{
    Bytes,
    client::{Client, browser::BrowserClient},
    error::SERVER_FN_ERROR_HEADER,
    request::browser::{BrowserRequest, Request},
    response::{ClientRes, browser::BrowserResponse},
};

use super::LIVE;
use crate::error::AppError;

/// After this time a call is given up: the server itself answers within 20 s, busy or not.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The browser's client, with `Authorization: Bearer` (RFC 6750, section 2.1) while there is a token.
pub struct SessionClient;

impl Client<AppError> for SessionClient {
    type Request = BrowserRequest;
    type Response = BrowserResponse;

    async fn send(mut request: BrowserRequest) -> Result<BrowserResponse, AppError> {
        let token = LIVE.get().and_then(|session| session.token());
        if let Some(token) = &token {
            request.headers().set("Authorization", &format!("Bearer {token}"));
        }
        limit(&mut request);
        let answer = <BrowserClient as Client<AppError>>::send(request).await;
        if let (Ok(response), Some(token), Some(session)) = (&answer, token, LIVE.get())
            && ClientRes::<AppError>::status(response) == AppError::SessionEnded.status()
            && is_ours(response)
        {
            session.ended(&token);
        }
        answer
    }

    fn open_websocket(
        path: &str,
    ) -> impl Future<
        Output = Result<
            (impl Stream<Item = Result<Bytes, Bytes>> + Send + 'static, impl Sink<Bytes> + Send + 'static),
            AppError,
        >,
    > + Send {
        <BrowserClient as Client<AppError>>::open_websocket(path)
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        <BrowserClient as Client<AppError>>::spawn(future);
    }
}

/// Ends a session that no tab holds any more. Nobody waits for it: without an answer the session ends by disuse.
pub fn end(token: &str) {
    let init = RequestInit::new();
    init.set_method("POST");
    if let Ok(request) = web_sys::Request::new_with_str_and_init("/api/accounts/logout/", &init)
        && request.headers().set("Authorization", &format!("Bearer {token}")).is_ok()
    {
        drop(window().fetch_with_request(&request));
    }
}

/// Whether the server itself has answered, and not a proxy before it, whose own login may have ended.
fn is_ours(response: &BrowserResponse) -> bool {
    response.generate_headers().contains_key(SERVER_FN_ERROR_HEADER)
}

/// Gives a request its limit in time. Not every browser has `AbortSignal.timeout`, so a timer does it.
fn limit(request: &mut Request) {
    let Ok(spare) = web_sys::Request::new_with_str("/") else { return };
    let plain: web_sys::Request = mem::replace(request, spare.into()).into();
    let init = RequestInit::new();
    if let Ok(controller) = AbortController::new() {
        init.set_signal(Some(&controller.signal()));
        set_timeout(move || controller.abort(), REQUEST_TIMEOUT);
    }
    let limited = web_sys::Request::new_with_request_and_init(&plain, &init);
    *request = limited.unwrap_or(plain).into();
}
