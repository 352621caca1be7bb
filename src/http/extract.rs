//! Extractors: the caller of a request, as far as the operation needs proof of it, and what the request asks for.
//!
//! The JSON API and the page's server functions use the same ones. An extractor that authenticates calls the service, so
//! a handler receives a proof instead of a token. Each declares the errors that it can return.

use std::{convert::Infallible, fmt, ops::Deref, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Query, Request, State},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    domain::{
        requests::Parse,
        token::{Token, TokenKind},
    },
    error::AppError,
    http::{response::ApiError, state::AppState},
    service::{Caller, Operator, Principal, Proven, ProvenOperator, Writer},
    store,
};

/// An argument of a request handler, which can end the request with an error.
pub trait Argument {
    /// The errors that the argument can cause, for the documentation.
    fn errors() -> Vec<AppError>;
}

/// The error of a rate limit, as the documentation shows it.
const RATE_LIMITED: AppError = AppError::RateLimited { retry_after: 30 };

/// The bearer token of a request (RFC 6750, section 2.1), with the scheme `Bearer` or, as Django REST framework's
/// clients send it, `Token`. There must be exactly one `Authorization` header, with a well-formed token.
pub fn bearer(headers: &HeaderMap) -> Result<Token, AppError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(AppError::SessionEnded) };
    let credentials = value.to_str().ok().and_then(|text| text.split_once(' '));
    let known = |scheme: &str| scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    credentials
        .filter(|(scheme, _)| known(scheme))
        // Any number of spaces may separate the two (RFC 9110, section 11.4).
        .and_then(|(scheme, token)| {
            let token = token.trim_start_matches(' ');
            let own = [TokenKind::Session, TokenKind::Personal].iter().find_map(|kind| Token::parse(*kind, token));
            // Only the scheme of Django REST framework, whose tokens may have been imported.
            own.or_else(|| scheme.eq_ignore_ascii_case("token").then(|| Token::parse_django(token)).flatten())
        })
        .ok_or(AppError::SessionEnded)
}

/// An account, by a session or a personal access token.
impl FromRequestParts<AppState> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Ok(state.service.authenticate_any(&bearer(&parts.headers)?).await?)
    }
}

impl Argument for Principal {
    fn errors() -> Vec<AppError> {
        // Calls are rate-limited per token.
        vec![AppError::SessionEnded, RATE_LIMITED]
    }
}

/// An account, by a session or by a personal access token that may change things.
impl FromRequestParts<AppState> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Ok(state.service.authenticate_for_write(&bearer(&parts.headers)?).await?)
    }
}

impl Argument for Writer {
    fn errors() -> Vec<AppError> {
        [Principal::errors(), vec![AppError::ReadOnly]].concat()
    }
}

/// A session. Personal access tokens are refused.
#[derive(Debug)]
pub struct Session(Arc<store::Session>);

impl Deref for Session {
    type Target = store::Session;

    fn deref(&self) -> &store::Session {
        &self.0
    }
}

impl FromRequestParts<AppState> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Ok(Self(state.service.authenticate(&bearer(&parts.headers)?).await?))
    }
}

/// `None` if the request has no well-formed token.
impl OptionalFromRequestParts<AppState> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Option<Self>, ApiError> {
        match bearer(&parts.headers) {
            Ok(token) => Ok(Some(Self(state.service.authenticate(&token).await?))),
            Err(_) => Ok(None),
        }
    }
}

impl Argument for Session {
    fn errors() -> Vec<AppError> {
        [Principal::errors(), vec![AppError::SessionRequired]].concat()
    }
}

/// A session in which the password was entered recently.
impl FromRequestParts<AppState> for Proven {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Ok(state.service.require_reauth(&bearer(&parts.headers)?).await?)
    }
}

impl Argument for Proven {
    fn errors() -> Vec<AppError> {
        [Session::errors(), vec![AppError::ReauthRequired]].concat()
    }
}

/// The session of an account with a role.
impl FromRequestParts<AppState> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Ok(state.service.authenticate_operator(&bearer(&parts.headers)?).await?)
    }
}

impl Argument for Operator {
    fn errors() -> Vec<AppError> {
        [Session::errors(), vec![AppError::Forbidden]].concat()
    }
}

/// The session of an account with a role in which the password was entered recently. The role decides what it may change.
impl FromRequestParts<AppState> for ProvenOperator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        Ok(state.service.require_operator(&bearer(&parts.headers)?).await?)
    }
}

impl Argument for ProvenOperator {
    fn errors() -> Vec<AppError> {
        [Operator::errors(), vec![AppError::ReauthRequired]].concat()
    }
}

/// The client's address has a rate limit in each operation that asks for it.
impl Argument for Caller {
    fn errors() -> Vec<AppError> {
        vec![RATE_LIMITED]
    }
}

impl Argument for State<AppState> {
    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

/// The identifier in a path. One that can't be parsed becomes empty and matches nothing. So the token is checked before
/// the response is 404.
#[derive(Debug)]
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        Ok(Self(id.map(|Path(id)| id).unwrap_or_default()))
    }
}

impl Argument for Id {
    fn errors() -> Vec<AppError> {
        vec![AppError::NotFound]
    }
}

/// The identifier in a path, of the account that an operator changes.
#[derive(Debug)]
pub struct Target(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Id::from_request_parts(parts, state).await.map(|Id(id)| Self(id))
    }
}

impl Argument for Target {
    fn errors() -> Vec<AppError> {
        [Id::errors(), vec![AppError::Outranked, AppError::OwnAccount]].concat()
    }
}

/// The parameters in the URL of a request.
#[derive(Debug)]
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = <Query<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|_| AppError::BadRequest.into())
    }
}

impl<T> Argument for Parameters<T> {
    fn errors() -> Vec<AppError> {
        vec![AppError::BadRequest]
    }
}

/// The parsed body of a request: a JSON object. Unknown keys are ignored. If a key occurs twice, the last value is used.
pub struct Body<T: Parse>(pub T::Parsed);

/// Never prints the values, which may be passwords.
impl<T: Parse> fmt::Debug for Body<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

impl<S: Send + Sync, T: Parse> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.ok();
        // Parsed into a map first, because a key that occurs twice would be an error if parsed into `T` directly.
        let object: Option<Map<String, Value>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let body = object.and_then(|object| T::deserialize(Value::Object(object)).ok());
        Ok(Self(body.ok_or(AppError::BadRequest)?.parse()?))
    }
}

impl<T: Parse> Argument for Body<T> {
    fn errors() -> Vec<AppError> {
        [T::errors(), vec![AppError::BadRequest]].concat()
    }
}

/// For a handler that answers a failed extraction itself.
impl<T: Argument, R> Argument for Result<T, R> {
    fn errors() -> Vec<AppError> {
        T::errors()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header"));
        }
        bearer(&headers).is_ok()
    }

    #[test]
    fn a_token_is_taken_from_one_well_formed_header_only_r34_r35() {
        let token = Token::generate(TokenKind::Session, || 7);
        let token = token.expose();
        let with = |scheme: &str| format!("{scheme}{token}").into_bytes();
        for good in ["Bearer ", "bearer ", "BEARER ", "Token ", "Bearer  ", "token    "] {
            assert!(read(&[&with(good)]), "{good}");
        }
        for bad in
            ["", "Basic ", "Bearer", "Bearer\t", "Bearer \t", " Bearer ", "Bearer Bearer ", "Bearer \"", "Token token="]
        {
            assert!(!read(&[&with(bad)]), "{bad}");
        }
        let django = "0123456789abcdef".repeat(3);
        let sent = |scheme: &str, bytes: usize| read(&[format!("{scheme} {}", &django[..bytes]).as_bytes()]);
        assert!(sent("Token", 40) && sent("token", 40));
        assert!(!sent("Bearer", 40) && !sent("Token", 39) && !sent("Token", 41));
        assert!(!read(&[format!("Token {}", &django[..40].to_uppercase()).as_bytes()]));
        assert!(!read(&[]));
        assert!(!read(&[&with("Bearer "), &with("Bearer ")]), "two headers");
        assert!(!read(&[b"Bearer \xff\xfe"]));
        assert!(!read(&[&[b'a'; 8192]]));
        assert!(!read(&[format!("Bearer {token}, Bearer {token}").as_bytes()]));
    }
}
