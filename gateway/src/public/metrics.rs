use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use telemetry::metrics::Metrics;

use crate::App;

/// What this process counts, for Prometheus. For the operator: it tells what all tenants do.
pub async fn show(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, Metrics::MEDIA_TYPE)], app.config.metrics.text()).into_response()
}
