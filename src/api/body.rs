//! Extractors for a request's body and path.

use std::convert::Infallible;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
    response::Response,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{error::AppError, http::response::ErrorFormat};

/// The body of a request: a JSON object. Unknown keys are ignored. If a key occurs twice, the last value is used.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let format = ErrorFormat::of(request.uri().path());
        let bytes = Bytes::from_request(request, state).await.ok();
        // Parsed into a map first, because a key that occurs twice would be an error if parsed into `T` directly.
        let object: Option<Map<String, Value>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let body = object.and_then(|object| T::deserialize(Value::Object(object)).ok());
        body.map(Self).ok_or_else(|| format.error_response(&AppError::BadRequest))
    }
}

/// The identifier in a path. One that can't be parsed becomes empty and matches nothing. So the token is checked before
/// the response is 404.
#[derive(Debug)]
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = Path::from_request_parts(parts, state).await;
        Ok(Self(id.map(|Path(id)| id).unwrap_or_default()))
    }
}

/// Reads a field of another type as `None`, so that validation reports it like a missing one.
pub fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(field: D) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(Value::deserialize(field)?).ok())
}

/// A field's text, unless it is empty.
pub fn filled(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}
