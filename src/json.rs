//! JSON in the bodies of server functions.
//!
//! Both sides write it with `serde_json`. The server reads it with `serde_json`, too. The browser reads it with its own
//! parser (`JSON.parse`), because that of `serde_json`, with its error messages, would be part of every first visit.

#[cfg(feature = "browser")]
mod parsed;

use std::{fmt, ops::Deref};

use serde::{Serialize, de::DeserializeOwned};
use server_fn::{Bytes, ContentType, Decodes, Encodes, Format, FormatType, codec::Post};

/// The encoding of server functions: arguments and result are JSON in the bodies of a `POST` request.
pub type Json = Post<JsonEncoding>;

/// Reads and writes JSON.
pub struct JsonEncoding;

/// The JSON is invalid, or doesn't fit the type. The reason is not kept, because nobody is shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed JSON")
    }
}

impl std::error::Error for Malformed {}

impl ContentType for JsonEncoding {
    const CONTENT_TYPE: &'static str = "application/json";
}

impl FormatType for JsonEncoding {
    const FORMAT_TYPE: Format = Format::Text;
}

impl<T: Serialize> Encodes<T> for JsonEncoding {
    type Error = Malformed;

    fn encode(value: &T) -> Result<Bytes, Malformed> {
        serde_json::to_vec(value).map(Bytes::from).map_err(|_| Malformed)
    }
}

impl<T: DeserializeOwned> Decodes<T> for JsonEncoding {
    type Error = Malformed;

    fn decode(bytes: Bytes) -> Result<T, Malformed> {
        #[cfg(feature = "browser")]
        return parsed::read(&bytes);
        #[cfg(not(feature = "browser"))]
        serde_json::from_slice(&bytes).map_err(|_| Malformed)
    }
}

/// The encoding of a server function with one argument. The body is the argument as JSON, without its name. The page
/// therefore sends the same body as a program that calls the API.
pub type JsonRequest = Post<ArgumentEncoding>;

/// See [`JsonRequest`].
pub struct ArgumentEncoding;

impl ContentType for ArgumentEncoding {
    const CONTENT_TYPE: &'static str = JsonEncoding::CONTENT_TYPE;
}

impl FormatType for ArgumentEncoding {
    const FORMAT_TYPE: Format = JsonEncoding::FORMAT_TYPE;
}

/// `F` is the type that `#[server]` generates, which dereferences to its only argument.
impl<F: Deref<Target: Serialize + Sized>> Encodes<F> for ArgumentEncoding {
    type Error = Malformed;

    fn encode(function: &F) -> Result<Bytes, Malformed> {
        JsonEncoding::encode(&**function)
    }
}

impl<F: Deref<Target: DeserializeOwned> + From<F::Target>> Decodes<F> for ArgumentEncoding {
    type Error = Malformed;

    fn decode(body: Bytes) -> Result<F, Malformed> {
        let argument: F::Target = JsonEncoding::decode(body)?;
        Ok(argument.into())
    }
}
