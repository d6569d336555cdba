//! What is counted and traced of every request. Paths and queries may hold names of files and keys: only the
//! route's template is kept.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use telemetry::metrics::Http;
use tracing::field::Empty;
use tracing::{Instrument, info_span};

/// Leaves the template of the route beside its answer, for [`measured`].
pub async fn note_route(route: MatchedPath, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.extensions_mut().insert(route);
    response
}

/// Answers a request within a span, and counts it.
pub async fn measured(http: &Http, method: Method, answer: impl Future<Output = Response>) -> Response {
    let span = info_span!(
        "http.request",
        otel.kind = "server",
        otel.name = Empty,
        http.request.method = %method,
        http.route = Empty,
        http.response.status_code = Empty,
    );
    let begun = Instant::now();
    let response = answer.instrument(span.clone()).await;
    let route = response.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let status = response.status().as_u16();
    if let Some(route) = route {
        span.record("otel.name", format!("{method} {route}"));
        span.record("http.route", route);
    }
    span.record("http.response.status_code", status);
    http.answered(method.as_str(), route, status, begun.elapsed());
    response
}
