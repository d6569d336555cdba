//! The counters, for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use telemetry::metrics::Metrics;

/// What this process counts, for Prometheus. For the operator: it tells what all tenants do.
pub async fn show(State(metrics): State<Metrics>) -> Response {
    ([(CONTENT_TYPE, Metrics::MEDIA_TYPE)], metrics.text()).into_response()
}
