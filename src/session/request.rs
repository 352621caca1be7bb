//! The encoding of a server function's request.

use std::ops::Deref;

use serde::{Serialize, de::DeserializeOwned};
use server_fn::{
    Bytes, ContentType, Decodes, Encodes, Format, FormatType,
    codec::{JsonEncoding, Post},
};

/// Sends the only argument of a server function as JSON, without its name around it. So the page sends the same body as
/// a program that calls the API.
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
    type Error = <JsonEncoding as Encodes<F::Target>>::Error;

    fn encode(function: &F) -> Result<Bytes, Self::Error> {
        JsonEncoding::encode(&**function)
    }
}

impl<F: Deref<Target: DeserializeOwned> + From<F::Target>> Decodes<F> for ArgumentEncoding {
    type Error = <JsonEncoding as Decodes<F::Target>>::Error;

    fn decode(body: Bytes) -> Result<F, Self::Error> {
        let argument: F::Target = JsonEncoding::decode(body)?;
        Ok(argument.into())
    }
}
