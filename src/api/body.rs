//! What a request's body holds, and its path.

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

/// The body of a request: a JSON object. Keys that aren't known are ignored, and the last of two equal ones counts.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let surface = ErrorFormat::of(request.uri().path());
        let bytes = Bytes::from_request(request, state).await.ok();
        // First into a map: read straight into `T`, a key that comes twice would be an error.
        let object: Option<Map<String, Value>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let body = object.and_then(|object| T::deserialize(Value::Object(object)).ok());
        body.map(Self).ok_or_else(|| surface.error_response(&AppError::BadRequest))
    }
}

/// The identifier in a path. One that can't be read is nobody's, which is told only to whoever may ask.
#[derive(Debug)]
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = Path::from_request_parts(parts, state).await;
        Ok(Self(id.map(|Path(id)| id).unwrap_or_default()))
    }
}

/// A field that is `None` when it holds something of another type: the rules tell of it as of one that is missing.
pub fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(field: D) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(Value::deserialize(field)?).ok())
}

/// A field's text, if it holds any.
pub fn filled(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}
