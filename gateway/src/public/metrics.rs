use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use telemetry::metrics::Metrics;

use crate::App;

/// What this process counts, for Prometheus. Behind the session key: it tells what the server is used for.
pub async fn show(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, Metrics::MEDIA_TYPE)], app.config.metrics.text()).into_response()
}
