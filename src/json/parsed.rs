//! Reads Rust types from a JSON document that the browser has parsed.

use std::fmt::Display;

use js_sys::{Array, JSON, Object};
use leptos::wasm_bindgen::{JsCast, JsValue};
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, Error, IntoDeserializer, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::Malformed;

/// Reads a value. Numbers must be integers, since the page's types have no others.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
    let value = JSON::parse(text).map_err(|_| Malformed)?;
    T::deserialize(Parsed(value))
}

impl Error for Malformed {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// A value in the parsed document.
struct Parsed(JsValue);

impl Parsed {
    fn fields(&self) -> Result<Vec<(String, Self)>, Malformed> {
        let object = self.0.dyn_ref::<Object>().ok_or(Malformed)?;
        let entries = Object::entries(object).into_iter().map(JsValue::unchecked_into::<Array>);
        Ok(entries.map(|entry| (entry.get(0).as_string().unwrap_or_default(), Self(entry.get(1)))).collect())
    }
}

impl IntoDeserializer<'_, Malformed> for Parsed {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Parsed {
    type Error = Malformed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let Self(value) = &self;
        if let Some(text) = value.as_string() {
            visitor.visit_string(text)
        } else if let Some(number) = value.as_f64() {
            if number.fract() != 0.0 {
                return Err(Malformed);
            }
            #[expect(clippy::cast_possible_truncation, reason = "all numbers in the page's types are small integers")]
            visitor.visit_i64(number as i64)
        } else if let Some(truth) = value.as_bool() {
            visitor.visit_bool(truth)
        } else if value.is_null() {
            visitor.visit_unit()
        } else if let Some(list) = value.dyn_ref::<Array>() {
            visitor.visit_seq(SeqDeserializer::new(list.iter().map(Self)))
        } else {
            visitor.visit_map(MapDeserializer::new(self.fields()?.into_iter()))
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    /// A variant with data is an object of its name and the data. One without data is only its name, which is read as if
    /// the data were null.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        let variant = match self.0.as_string() {
            Some(name) => vec![(name, Self(JsValue::NULL))],
            None => self.fields()?,
        };
        visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(variant.into_iter())))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
