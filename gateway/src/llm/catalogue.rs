//! The models and providers there are, to choose from. Pages ask for them whenever they are loaded, and are told that they have
//! them already.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::catalogue::{Catalogue, Document};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::error::{ApiError, ApiResult};
use crate::etag;
use crate::extract::Query;
use crate::schema::llm::{ModelsResponse, ProvidersResponse, VerifiedModelsResponse};

/// Of another release there are others.
const CACHING: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
const JSON: (HeaderName, HeaderValue) = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

#[derive(Deserialize)]
pub(super) struct Which {
    provider: Option<String>,
}

/// The names of the providers.
#[utoipa::path(get, path = "/api/llm/providers", tag = "LLM", responses((status = 200, body = ProvidersResponse)))]
pub(super) async fn list_providers(
    State(catalogue): State<Catalogue>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    answer(&headers, catalogue.providers())
}

/// The models, or those of a provider.
#[utoipa::path(get, path = "/api/llm/models", tag = "LLM", params(("provider" = Option<String>, Query)),
    responses((status = 200, body = ModelsResponse)))]
pub(super) async fn list_models(
    State(catalogue): State<Catalogue>,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> ApiResult<Response> {
    answer(&headers, catalogue.models(which.provider.as_deref()))
}

/// The models that are known to work well, by provider.
#[utoipa::path(get, path = "/api/llm/models/verified", tag = "LLM", responses((status = 200, body = VerifiedModelsResponse)))]
pub(super) async fn list_verified_models(
    State(catalogue): State<Catalogue>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    answer(&headers, catalogue.verified())
}

fn answer(headers: &HeaderMap, document: Document) -> ApiResult<Response> {
    let tag = format!("\"{}\"", document.tag);
    let has_it = etag::is_known(headers, &tag) == Some(true);
    let tag = (header::ETAG, HeaderValue::from_str(&tag).map_err(ApiError::internal)?);
    if has_it {
        return Ok((StatusCode::NOT_MODIFIED, [CACHING, tag]).into_response());
    }
    Ok(([CACHING, JSON, tag], document.body).into_response())
}
