//! Parameters in paths and queries.

use std::error::Error as _;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, RawPathParamsRejection};
use axum::extract::{FromRequestParts, RawPathParams};
use http::StatusCode;
use http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use types::ConversationId;

use super::{describe, lax};
use crate::error::{ApiError, Problem};

/// The query as a struct. Numbers are parsed from their text, leniently; use [`flag`] for booleans.
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => leniently(&parts.uri).map(Self).ok_or_else(|| query_problem(&rejection).into()),
        }
    }
}

/// Of a parameter that is given twice the last one counts.
fn leniently<T: DeserializeOwned>(uri: &http::Uri) -> Option<T> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let fields = pairs.0.into_iter().map(|(name, text)| (name, text.into())).collect();
    lax::read(serde_json::Value::Object(fields)).ok()
}

/// The source of a rejection reads `field: what is wrong`, or the latter alone.
fn query_problem(rejection: &axum::extract::rejection::QueryRejection) -> Problem {
    let text = rejection.source().map(ToString::to_string).unwrap_or_default();
    let (field, message) = match text.split_once(": ") {
        Some((field, message)) if !field.contains([' ', '`']) => (Some(field), message),
        _ => (None, text.as_str()),
    };
    let mut problem = describe::problem("query", &no_path(), message);
    if let Some(field) = field {
        problem.loc.insert(1, field.into());
    }
    problem
}

fn no_path() -> serde_path_to_error::Path {
    serde_path_to_error::Track::new().path()
}

/// All values of a query parameter that may be repeated, in order.
#[must_use]
pub fn query_values(uri: &http::Uri, name: &str) -> Vec<String> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    let pairs = pairs.map(|query| query.0).unwrap_or_default();
    pairs.into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
}

/// For `#[serde(deserialize_with)]` on a boolean query parameter: the spellings clients use.
///
/// # Errors
/// On any other text.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    truth(&text).ok_or_else(|| D::Error::custom("provided string was not `true` or `false`"))
}

/// Whether a text says yes or no, in one of the spellings clients use.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// For `#[serde(default, deserialize_with)]` on an optional UUID query parameter, in any of its forms.
///
/// # Errors
/// When it is none.
pub fn optional_uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<uuid::Uuid>, D::Error> {
    let text = String::deserialize(deserializer)?;
    uuid::Uuid::parse_str(&text).map(Some).map_err(|_| D::Error::custom("UUID parsing failed"))
}

/// The parameters in the path, by position or name.
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value)).map_err(path_problem)
    }
}

fn path_problem(rejection: PathRejection) -> ApiError {
    let PathRejection::FailedToDeserializePathParams(failure) = rejection else {
        return ApiError::internal(rejection);
    };
    match failure.into_kind() {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            Problem::new("value_error", &["path", &key], format!("Input should be a valid {expected_type}"))
                .into()
        }
        ErrorKind::DeserializeError { key, message, .. } => {
            let mut problem = describe::problem("path", &no_path(), &message);
            problem.loc.push(key.into());
            problem.into()
        }
        ErrorKind::InvalidUtf8InPathParam { .. } => ApiError::plain(StatusCode::NOT_FOUND),
        _ => Problem::new("value_error", &["path"], "Value error, the value is not allowed here").into(),
    }
}

/// `{conversation_id}` in the path.
#[derive(Clone, Copy, Debug)]
pub struct ConversationPath(pub ConversationId);

impl<S: Send + Sync> FromRequestParts<S> for ConversationPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match uuid_param(parts, state, "conversation_id").await? {
            Some(id) => Ok(Self(ConversationId(id))),
            None => Err(ApiError::internal("the route has no conversation_id")),
        }
    }
}

/// The UUID of a path parameter, where the route has it.
pub(crate) async fn uuid_param<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<Option<uuid::Uuid>, ApiError> {
    let params = match RawPathParams::from_request_parts(parts, state).await {
        Ok(params) => params,
        Err(RawPathParamsRejection::InvalidUtf8InPathParam(_)) => return Err(ApiError::not_found()),
        Err(other) => return Err(ApiError::internal(other)),
    };
    let Some((_, text)) = params.iter().find(|(key, _)| *key == name) else { return Ok(None) };
    match uuid::Uuid::parse_str(text) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(Problem::bad_uuid(&["path", name]).into()),
    }
}
