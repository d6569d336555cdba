//! Who may send requests: by their host, their origin, and the size of their headers. Keys come later, at the routes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use crate::admission::{Admission, peer_of};
use crate::auth::Auth;
use crate::config::Config;
use crate::cors::{self, Origins};
use crate::error::{ApiError, ApiResult};
use crate::front::Front;
use crate::ingress::Origin;
use crate::rates::is_probe;

/// Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    pub auth: Auth,
    pub front: Front,
    origins: Arc<Origins>,
    /// Where pages of extensions' programs are.
    ingress: Option<Origin>,
    /// Names of this server, beside those of loopback hosts.
    hosts: Arc<[String]>,
    headers: usize,
    /// Bytes of a request's line and headers.
    header_bytes: usize,
}

/// The page that a request comes from, and whether it may use the route.
pub type Page = (HeaderValue, bool);

impl Gate {
    /// # Errors
    /// When the pattern of origins is not a regular expression.
    pub fn new(config: &Config, auth: Auth, front: Front) -> Result<Self, regex::Error> {
        let pattern = config.site.allow_cors_origin_regex.as_deref();
        let origins =
            Origins::new(&config.site.allow_cors_origins, pattern, config.site.docker_host.as_deref())?;
        let ingress = config.site.app_backend_public_url.as_deref().and_then(Origin::of);
        let named = config.site.allowed_hosts.iter().chain(&config.site.docker_host);
        let hosts = named.chain(ingress.as_ref().map(|ingress| &ingress.host)).cloned().collect();
        Ok(Self {
            auth,
            front,
            origins: Arc::new(origins),
            ingress,
            hosts,
            headers: config.limits.headers,
            header_bytes: config.limits.header_bytes,
        })
    }

    /// The page that sends a request, where a browser says so.
    #[must_use]
    pub fn page(&self, request: &Request<Body>) -> Option<Page> {
        let origin = request.headers().get(header::ORIGIN)?;
        let allowed = self.origins.allow(self.front.below_root(request.uri().path()), origin);
        Some((origin.clone(), allowed))
    }

    /// Whether pages of this origin may use the API.
    #[must_use]
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.allow("", origin)
    }

    /// Why the request is not let in.
    #[must_use]
    pub fn refusal(&self, request: &Request<Body>, page: Option<&Page>) -> Option<ApiError> {
        let headers = request.headers();
        if let Err(too_much) = self.admit_peer(request) {
            return Some(too_much);
        }
        if headers.len() > self.headers || header_bytes(request) > self.header_bytes {
            return Some(ApiError::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        let open = self.auth.is_open();
        // A page can point a host name of its own at this machine; its requests then look like ours.
        if open && !self.knows_host(headers) {
            return Some(ApiError::new(StatusCode::FORBIDDEN, "Host not allowed"));
        }
        // Without a key nothing else would keep programs of extensions from the rest.
        if open && self.is_of_program(request) {
            return Some(ApiError::new(StatusCode::FORBIDDEN, "Pages of this origin may not use the API"));
        }
        let (origin, allowed) = page?;
        if *allowed || is_same_origin(origin, headers) {
            return None;
        }
        // Browsers send these without asking first, and without a key nothing else would stop them.
        let acts = open && !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        (acts || is_websocket(headers)).then(|| ApiError::new(StatusCode::FORBIDDEN, "Origin not allowed"))
    }

    /// Whoever watches the server is always answered.
    fn admit_peer(&self, request: &Request<Body>) -> ApiResult<()> {
        let Some(admission) = request.extensions().get::<Admission>() else { return Ok(()) };
        if is_probe(self.front.below_root(request.uri().path())) {
            return Ok(());
        }
        if admission.is_surplus() {
            let detail = "Too many connections from this address";
            return Err(ApiError::TooOften { detail, after: Duration::ZERO });
        }
        let client = peer_of(self.front.client(request.headers(), admission.peer()));
        self.auth.rates().admit_address(client)
    }

    /// Whether a page at the ingress origin asks for what is not below it. What is shown in a frame is of the origin where it was
    /// found, and pages of that read it; a page can have another one, which is of no origin, lead a frame there. So of what is
    /// shown only what the user has asked for himself is.
    fn is_of_program(&self, request: &Request<Body>) -> bool {
        let headers = request.headers();
        let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
        let is_shown = says("sec-fetch-mode", "navigate") && !says("sec-fetch-site", "none");
        let is_of_page = is_shown || says("sec-fetch-site", "same-origin");
        let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).and_then(Origin::of);
        let asks = |ingress: &Origin| {
            let is_asked = is_of_page && Origin::asked(&self.front, headers).as_ref() == Some(ingress);
            is_asked || origin.as_ref() == Some(ingress)
        };
        let path = self.front.below_root(request.uri().path());
        self.ingress.as_ref().is_some_and(asks) && !path.starts_with("/app-backends/")
    }

    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST) else { return true };
        let Ok(host) = host.to_str() else { return false };
        let host = cors::without_port(host).trim_end_matches('.');
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.to_ascii_lowercase().ends_with(".localhost")
            || address.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

fn header_bytes(request: &Request<Body>) -> usize {
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    headers + request.uri().path_and_query().map_or(0, |path| path.as_str().len())
}

pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether a page of this very server asks.
pub(crate) fn is_same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    authority.is_some_and(|authority| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}
