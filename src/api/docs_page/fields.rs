//! The fields of requests and responses, read from the OpenAPI document's schemas.

use serde_json::{Map, Value};
use utoipa::openapi::{
    Content, RefOr, Schema,
    path::{Operation, ParameterIn},
    schema::{ArrayItems, Object, SchemaType, Type},
};

use crate::api::openapi::DOCUMENT;

pub struct Field {
    pub name: String,
    /// The field's type in words, and whether the field may be missing.
    pub kind: String,
    pub about: String,
    /// Nested fields, if the field holds an object or a list of objects.
    pub within: Vec<Field>,
}

/// A successful response.
pub struct ResponseDoc {
    pub status: String,
    pub about: String,
    pub fields: Vec<Field>,
}

/// The fields of a request's body; none for a request without one.
pub fn of_request(operation: &Operation) -> Vec<Field> {
    request(operation).map(of_schema).unwrap_or_default()
}

/// The parameters in the URL of a request, besides those in its path.
pub fn of_parameters(operation: &Operation) -> Vec<Field> {
    let parameters = operation.parameters.iter().flatten();
    let in_query = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter),
        _ => None,
    });
    let each = in_query.map(|parameter| Field {
        name: parameter.name.clone(),
        kind: [parameter.schema.as_ref().map(kind).unwrap_or_default().as_str(), ", optional"].concat(),
        about: parameter.description.clone().unwrap_or_default(),
        within: Vec::new(),
    });
    each.collect()
}

/// The fields of an object.
pub fn of_schema(schema: &RefOr<Schema>) -> Vec<Field> {
    let properties = resolve(schema).map(properties).unwrap_or_default();
    let each = properties.into_iter().map(|(name, schema, required)| Field {
        name: name.to_owned(),
        kind: [kind(schema).as_str(), if required { "" } else { ", optional" }].concat(),
        about: about(schema).to_owned(),
        within: of_schema(schema),
    });
    each.collect()
}

/// An example of a request's body.
pub fn example(operation: &Operation) -> Option<Value> {
    let properties = resolve(request(operation)?).map(properties)?;
    let shown = properties.into_iter().filter_map(|(name, schema, required)| {
        let example = match resolve(schema) {
            Some(Schema::Object(object)) => {
                object.example.clone().or_else(|| object.enum_values.clone()?.first().cloned())
            }
            _ => None,
        };
        // A field without an example is left out if it is optional.
        example.or_else(|| required.then(|| Value::from("…"))).map(|example| (name.to_owned(), example))
    });
    Some(Value::Object(shown.collect::<Map<_, _>>()))
}

/// The successful responses of an endpoint.
pub fn of_responses(operation: &Operation) -> Vec<ResponseDoc> {
    let responses = operation.responses.responses.iter().filter_map(|(status, response)| {
        let RefOr::T(response) = response else { return None };
        let schema = response.content.values().find_map(schema_of);
        let fields = schema.map(of_schema).unwrap_or_default();
        Some(ResponseDoc { status: status.clone(), about: response.description.clone(), fields })
    });
    responses.collect()
}

fn request(operation: &Operation) -> Option<&RefOr<Schema>> {
    let Some(RefOr::T(body)) = &operation.request_body else { return None };
    body.content.values().find_map(schema_of)
}

fn schema_of(content: &RefOr<Content>) -> Option<&RefOr<Schema>> {
    let RefOr::T(content) = content else { return None };
    content.schema.as_ref()
}

/// The schema itself, after following references.
fn resolve(schema: &RefOr<Schema>) -> Option<&Schema> {
    match schema {
        RefOr::T(schema) => Some(schema),
        RefOr::Ref(to) => {
            let name = to.ref_location.rsplit('/').next()?;
            resolve(DOCUMENT.components.as_ref()?.schemas.get(name)?)
        }
    }
}

/// The properties of an object, a composed schema, or a list's items. The flag says whether a property is required.
fn properties(schema: &Schema) -> Vec<(&str, &RefOr<Schema>, bool)> {
    match schema {
        Schema::Object(object) => {
            let each = object.properties.iter();
            each.map(|(name, schema)| (name.as_str(), schema, object.required.contains(name))).collect()
        }
        Schema::AllOf(all) => all.items.iter().filter_map(resolve).flat_map(properties).collect(),
        Schema::OneOf(one) => one.items.iter().filter_map(resolve).flat_map(properties).collect(),
        Schema::Array(list) => match &list.items {
            ArrayItems::RefOrSchema(held) => resolve(held).map(properties).unwrap_or_default(),
            ArrayItems::False => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A value's type in words.
fn kind(schema: &RefOr<Schema>) -> String {
    match resolve(schema) {
        Some(Schema::Object(object)) => kind_of(object),
        Some(Schema::Array(_)) => "list".to_owned(),
        Some(Schema::OneOf(one)) => one.items.iter().map(kind).collect::<Vec<_>>().join(" or "),
        _ => "object".to_owned(),
    }
}

fn kind_of(object: &Object) -> String {
    if let Some(values) = &object.enum_values {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        return values.join(" or ");
    }
    let types = match &object.schema_type {
        SchemaType::Type(one) => std::slice::from_ref(one),
        SchemaType::Array(several) => several,
        SchemaType::AnyValue => &[],
    };
    let words = types.iter().map(|one| match one {
        Type::String => "text",
        Type::Integer => "whole number",
        Type::Number => "number",
        Type::Boolean => "true or false",
        Type::Array => "list",
        Type::Null => "null",
        Type::Object => "object",
    });
    words.collect::<Vec<_>>().join(" or ")
}

fn about(schema: &RefOr<Schema>) -> &str {
    match schema {
        RefOr::Ref(to) => &to.description,
        RefOr::T(Schema::Object(object)) => object.description.as_deref().unwrap_or_default(),
        RefOr::T(Schema::Array(list)) => list.description.as_deref().unwrap_or_default(),
        RefOr::T(Schema::OneOf(one)) => one.items.first().map(about).unwrap_or_default(),
        RefOr::T(_) => "",
    }
}
