//! What every operation may answer instead, as `crate::error` makes it.

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, RefOr, ResponseBuilder, Schema, Type};

use crate::rates::is_probe;

pub(super) const NAME: &str = "Error";
const JSON: &str = "application/json";

/// `{"detail": …}`: a text, a list of what is wrong with the input, or a failure that programs can tell by its `code`.
pub(super) fn schema() -> RefOr<Schema> {
    let object = |kind: Type| ObjectBuilder::new().schema_type(kind);
    let step = AnyOfBuilder::new().item(object(Type::String)).item(object(Type::Integer));
    let problem = object(Type::Object)
        .property("type", object(Type::String))
        .property("loc", ArrayBuilder::new().items(step))
        .property("msg", object(Type::String))
        .required("type")
        .required("loc")
        .required("msg");
    let coded = object(Type::Object)
        .property("code", object(Type::String))
        .property("message", object(Type::String))
        .required("code")
        .required("message");
    let detail =
        AnyOfBuilder::new().item(object(Type::String)).item(ArrayBuilder::new().items(problem)).item(coded);
    object(Type::Object).property("detail", detail).required("detail").into()
}

/// Adds the failures that follow from where an operation is and what it takes, and says what all failures
/// look like.
pub(super) fn describe(path: &str, changes: bool, operation: &mut Operation) {
    let takes_json =
        matches!(&operation.request_body, Some(RefOr::T(body)) if body.content.contains_key(JSON));
    let takes_body = operation.request_body.is_some();
    let takes_input =
        takes_body || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let is_behind_a_key = ["/api/", "/v1/"].iter().any(|prefix| path.starts_with(prefix));
    let failures = [
        ("400", changes && is_behind_a_key, "What is asked cannot be, or its `Idempotency-Key` is none"),
        ("401", is_behind_a_key, "No key or token, or one that does not open this"),
        ("403", is_behind_a_key, "The key or token does not allow it"),
        ("404", path.contains('{'), "There is no such thing, or it is not the caller's"),
        ("408", takes_body, "The body came too slowly"),
        ("413", takes_body, "The body is too large"),
        ("415", takes_json, "The body is not JSON"),
        ("422", takes_input, "The input is not valid"),
        (
            "429",
            !is_probe(path),
            "Too often, over too many connections, or all places are taken; `Retry-After`, where it is there, says when to come back",
        ),
        ("503", is_behind_a_key, "Storage or worker cannot be had now; try again"),
    ];
    let responses = &mut operation.responses.responses;
    for (status, _, description) in failures.into_iter().filter(|(_, applies, _)| *applies) {
        let failure = || RefOr::T(ResponseBuilder::new().description(description).build());
        responses.entry(status.to_owned()).or_insert_with(failure);
    }
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.starts_with(['4', '5'])) {
        if let RefOr::T(response) = response {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(NAME))).build();
            response.content.entry(JSON.to_owned()).or_insert(body.into());
        }
    }
}
