//! The transport of server functions. It sends the token, applies a timeout and notices the end of the session.

use std::{future::Future, time::Duration};

use futures_util::{Sink, Stream, stream::Empty};
use js_sys::{ArrayBuffer, Promise, Uint8Array, futures::JsFuture};
use leptos::{
    leptos_dom::helpers::{set_timeout, window},
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{AbortController, Request, RequestInit, Response},
};
use send_wrapper::SendWrapper;
use server_fn::{
    Bytes,
    client::{Client, browser::BrowserClient},
    error::SERVER_FN_ERROR_HEADER,
    redirect::REDIRECT_HEADER,
    request::browser::BrowserRequest,
    response::ClientRes,
};

use super::LIVE;
use crate::error::AppError;

/// The timeout of a request. The server itself responds within 20 s, even when it is busy.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The transport in the browser. It sends `Authorization: Bearer` (RFC 6750, section 2.1) if there is a token.
pub struct BearerTransport;

impl Client<AppError> for BearerTransport {
    type Request = BrowserRequest;
    type Response = SessionResponse;

    fn send(request: BrowserRequest) -> impl Future<Output = Result<SessionResponse, AppError>> + Send {
        SendWrapper::new(async move {
            let token = LIVE.get().and_then(|auth| auth.token());
            if let Some(token) = &token {
                request.headers().set("Authorization", &bearer(token));
            }
            let request = limited(&request.into())?;
            let response: Response = wait(Ok(window().fetch_with_request(&request))).await?;
            let response = SessionResponse(SendWrapper::new(response));
            if let (Some(token), Some(auth)) = (token, LIVE.get())
                && response.0.status() == AppError::SessionEnded.status()
                && response.is_ours()
            {
                auth.ended(&token);
            }
            Ok(response)
        })
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

/// The browser's response. The one of `server_fn` copies all headers into Rust to look one up, and its parser for them
/// would be part of every first visit.
pub struct SessionResponse(SendWrapper<Response>);

impl SessionResponse {
    fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name).ok().flatten()
    }

    /// Whether the response is from the server itself. It may be from a proxy whose own login has expired.
    fn is_ours(&self) -> bool {
        self.header(SERVER_FN_ERROR_HEADER).is_some()
    }
}

impl ClientRes<AppError> for SessionResponse {
    fn try_into_string(self) -> impl Future<Output = Result<String, AppError>> + Send {
        SendWrapper::new(async move {
            let text = wait::<js_sys::JsString>(self.0.text()).await?;
            Ok(text.into())
        })
    }

    fn try_into_bytes(self) -> impl Future<Output = Result<Bytes, AppError>> + Send {
        SendWrapper::new(async move {
            let buffer = wait::<ArrayBuffer>(self.0.array_buffer()).await?;
            Ok(Uint8Array::new(&buffer).to_vec().into())
        })
    }

    /// No server function of this page returns a stream.
    fn try_into_stream(self) -> Result<impl Stream<Item = Result<Bytes, Bytes>> + Send + Sync + 'static, AppError> {
        Err::<Empty<_>, _>(AppError::Unreachable)
    }

    fn status(&self) -> u16 {
        self.0.status()
    }

    fn status_text(&self) -> String {
        self.0.status_text()
    }

    fn location(&self) -> String {
        self.header("Location").unwrap_or_else(|| self.0.url())
    }

    fn has_redirect(&self) -> bool {
        self.header(REDIRECT_HEADER).is_some()
    }
}

/// Ends a session that no tab uses any more. The result is ignored: if the request fails, the session expires by
/// inactivity.
pub fn end(token: &str) {
    let init = RequestInit::new();
    init.set_method("POST");
    if let Ok(request) = Request::new_with_str_and_init("/api/accounts/logout/", &init)
        && request.headers().set("Authorization", &bearer(token)).is_ok()
    {
        drop(window().fetch_with_request(&request));
    }
}

fn bearer(token: &str) -> String {
    ["Bearer ", token].concat()
}

/// The same request with the timeout. Not every browser has `AbortSignal.timeout`, so this uses a timer.
fn limited(request: &Request) -> Result<Request, AppError> {
    let init = RequestInit::new();
    if let Ok(controller) = AbortController::new() {
        init.set_signal(Some(&controller.signal()));
        set_timeout(move || controller.abort(), REQUEST_TIMEOUT);
    }
    Request::new_with_request_and_init(request, &init).map_err(|_| AppError::Unreachable)
}

/// Waits for a result of the browser.
async fn wait<T: JsCast>(promise: Result<Promise, JsValue>) -> Result<T, AppError> {
    let value = JsFuture::from(promise.map_err(|_| AppError::Unreachable)?).await;
    value.ok().and_then(|value| value.dyn_into().ok()).ok_or(AppError::Unreachable)
}
