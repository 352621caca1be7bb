//! The transport of server functions. It sends the token, applies a timeout and notices the end of the session.

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

/// The timeout of a request. The server itself responds within 20 s, even when it is busy.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The transport in the browser. It sends `Authorization: Bearer` (RFC 6750, section 2.1) if there is a token.
pub struct BearerTransport;

impl Client<AppError> for BearerTransport {
    type Request = BrowserRequest;
    type Response = BrowserResponse;

    async fn send(mut request: BrowserRequest) -> Result<BrowserResponse, AppError> {
        let token = LIVE.get().and_then(|auth| auth.token());
        if let Some(token) = &token {
            request.headers().set("Authorization", &format!("Bearer {token}"));
        }
        limit(&mut request);
        let result = <BrowserClient as Client<AppError>>::send(request).await;
        if let (Ok(response), Some(token), Some(auth)) = (&result, token, LIVE.get())
            && ClientRes::<AppError>::status(response) == AppError::SessionEnded.status()
            && is_ours(response)
        {
            auth.ended(&token);
        }
        result
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

/// Ends a session that no tab uses any more. The result is ignored: if the request fails, the session expires by
/// inactivity.
pub fn end(token: &str) {
    let init = RequestInit::new();
    init.set_method("POST");
    if let Ok(request) = web_sys::Request::new_with_str_and_init("/api/accounts/logout/", &init)
        && request.headers().set("Authorization", &format!("Bearer {token}")).is_ok()
    {
        drop(window().fetch_with_request(&request));
    }
}

/// Whether the response is from the server itself. It may be from a proxy whose own login has expired.
fn is_ours(response: &BrowserResponse) -> bool {
    response.generate_headers().contains_key(SERVER_FN_ERROR_HEADER)
}

/// Adds the timeout to a request. Not every browser has `AbortSignal.timeout`, so this uses a timer.
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
