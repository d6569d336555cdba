//! What happens to every request around its route: who may send it, and what every answer carries.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tower::Service;

use crate::error::{ApiError, failure, panic_text};
use crate::measure::measured;
use crate::{App, cors, router};

/// The whole server as a function from request to answer. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    app: App,
    router: Router,
}

impl Edge {
    #[must_use]
    pub fn new(app: App) -> Self {
        let router = router::build(&app);
        Self::around(app, router)
    }

    /// With other routes than the server's.
    #[must_use]
    pub fn around(app: App, router: Router) -> Self {
        Self { app, router }
    }

    /// Answers `request`; also when its handler panics.
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        let method = request.method().clone();
        measured(&self.app.config.metrics.http, method, self.answer(request)).await
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let origin = request.headers().get(header::ORIGIN).map(|origin| {
            let allowed = self.app.origins.allow(self.below_root(request.uri().path()), origin);
            (origin.clone(), allowed)
        });
        if let Some((origin, allowed)) = &origin
            && cors::is_preflight(request.method(), request.headers())
        {
            return cors::preflight(origin, *allowed, request.headers());
        }
        let mut response = match self.refusal(&request, origin.as_ref()) {
            Some(refusal) => refusal.into_response(),
            None => self.route(request).await,
        };
        cors::mark(response.headers_mut(), origin);
        response
    }

    fn refusal(&self, request: &Request<Body>, origin: Option<&(HeaderValue, bool)>) -> Option<ApiError> {
        let headers = request.headers();
        if header_bytes(request) > self.app.config.limits.header_bytes {
            return Some(ApiError::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        let open = self.app.auth.is_open();
        // A page can point a host name of its own at this machine; its requests then look like ours.
        if open && !self.knows_host(headers) {
            return Some(ApiError::new(StatusCode::FORBIDDEN, "Host not allowed"));
        }
        let (origin, allowed) = origin?;
        if *allowed || is_same_origin(origin, headers) {
            return None;
        }
        // Browsers send these without asking first, and without a key nothing else would stop them.
        let acts = open && !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        (acts || is_websocket(headers)).then(|| ApiError::new(StatusCode::FORBIDDEN, "Origin not allowed"))
    }

    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST) else { return true };
        let Ok(host) = host.to_str() else { return false };
        let host = cors::without_port(host).trim_end_matches('.');
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let config = &self.app.config;
        host.eq_ignore_ascii_case("localhost")
            || host.to_ascii_lowercase().ends_with(".localhost")
            || address.parse::<IpAddr>().is_ok()
            || config.docker_host.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(host))
            || config.allowed_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    async fn route(&self, mut request: Request<Body>) -> Response<Body> {
        if !self.app.config.root_path.is_empty() {
            self.strip_root(&mut request);
        }
        let head = request.method() == Method::HEAD;
        if head {
            // The router would answer it like GET; no route of the API has it.
            *request.method_mut() = Method::TRACE;
        }
        let answer = AssertUnwindSafe(self.router.clone().call(request)).catch_unwind().await;
        let mut response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => failure(&panic_text(panic.as_ref())),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            forget_head(response.headers_mut());
        }
        response
    }

    fn below_root<'a>(&self, path: &'a str) -> &'a str {
        let root = &self.app.config.root_path;
        path.strip_prefix(root.as_str()).filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }

    fn strip_root(&self, request: &mut Request<Body>) {
        let Some(whole) = request.uri().path_and_query() else { return };
        let Ok(below) = self.below_root(whole.as_str()).parse() else { return };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(below);
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

fn header_bytes(request: &Request<Body>) -> usize {
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    headers + request.uri().path_and_query().map_or(0, |path| path.as_str().len())
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn is_same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    authority.is_some_and(|authority| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

fn forget_head(headers: &mut HeaderMap) {
    let Some(allow) = headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok()) else { return };
    let methods: Vec<&str> = allow.split(',').map(str::trim).filter(|&method| method != "HEAD").collect();
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
        headers.insert(header::ALLOW, allow);
    }
}
