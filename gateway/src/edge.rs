//! What happens to every request around its route: who may send it, and what every answer carries.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use telemetry::metrics::Http;
use tower::Service as _;

use crate::error::{ApiError, failure, panic_text};
use crate::gate::Gate;
use crate::measure::measured;
use crate::trickle::GivenUp;
use crate::{App, cors, router};

/// The whole server as a function from request to answer. Cheap to clone.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

/// In one piece, as it is cloned for every request.
struct Inner {
    gate: Gate,
    metrics: Http,
    router: Router,
}

impl Edge {
    #[must_use]
    pub fn new(app: &App) -> Self {
        let router = router::build(app);
        Self::around(app, router)
    }

    /// With other routes than the server's.
    #[must_use]
    pub fn around(app: &App, router: Router) -> Self {
        Self::of(app.0.gate.clone(), app.0.sockets.metrics.clone(), router)
    }

    /// Where there is no server yet.
    pub(crate) fn of(gate: Gate, metrics: Http, router: Router) -> Self {
        Self(Arc::new(Inner { gate, metrics, router }))
    }

    /// Answers `request`; also when its handler panics.
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        let method = request.method().clone();
        measured(&self.0.metrics, method, self.answer(request)).await
    }

    /// As [`Edge::serve`], where no connection brings the request: both are there as a whole.
    ///
    /// # Errors
    /// When the answer breaks off.
    pub async fn serve_whole(&self, request: Request<Bytes>) -> Result<Response<Bytes>, axum::Error> {
        let (parts, body) = self.serve(request.map(Body::from)).await.into_parts();
        Ok(Response::from_parts(parts, to_bytes(body, usize::MAX).await?))
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let page = self.0.gate.page(&request);
        if let Some((origin, allowed)) = &page
            && cors::is_preflight(request.method(), request.headers())
        {
            return cors::preflight(origin, *allowed, request.headers());
        }
        let mut response = match self.0.gate.refusal(&request, page.as_ref()) {
            Some(refusal) => refusal.into_response(),
            None => self.route(request).await,
        };
        cors::mark(response.headers_mut(), page);
        response
    }

    async fn route(&self, mut request: Request<Body>) -> Response<Body> {
        if !self.0.gate.front.root_path.is_empty() {
            self.strip_root(&mut request);
        }
        let given_up = request.extensions().get::<GivenUp>().cloned();
        let head = request.method() == Method::HEAD;
        if head {
            // The router would answer it like GET; no route of the API has it.
            *request.method_mut() = Method::TRACE;
        }
        let answer = AssertUnwindSafe(self.0.router.clone().call(request)).catch_unwind().await;
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => failure(&panic_text(panic.as_ref())),
        };
        // Whoever has read the body knows only that it ended early.
        if given_up.is_some_and(|given_up| given_up.is_set()) && !response.status().is_success() {
            return ApiError::plain(StatusCode::REQUEST_TIMEOUT).into_response();
        }
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            forget_head(response.headers_mut());
        }
        response
    }

    fn strip_root(&self, request: &mut Request<Body>) {
        let Some(whole) = request.uri().path_and_query() else { return };
        let Ok(below) = self.0.gate.front.below_root(whole.as_str()).parse() else { return };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(below);
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

fn forget_head(headers: &mut HeaderMap) {
    let Some(allow) = headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok()) else { return };
    let methods: Vec<&str> = allow.split(',').map(str::trim).filter(|&method| method != "HEAD").collect();
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
        headers.insert(header::ALLOW, allow);
    }
}
