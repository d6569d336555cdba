//! Which web pages may use the server, and the headers that tell the browser so.

use http::header::{
    self, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use regex::Regex;

use axum::body::Body;

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY");
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, \
     Access-Control-Request-Private-Network",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Location, Retry-After, X-Archive-Base-Commit, \
     X-Archive-Base-Ref, X-Archive-Branch, X-Archive-Head-Commit, X-Archive-Repo-Remote, \
     X-Archive-Repo-Root, X-OpenHands-ServerConversation-ID, X-Should-Retry",
);

/// The origins of pages that may read answers.
pub struct Origins {
    listed: Vec<String>,
    pattern: Option<Regex>,
    docker_host: Option<String>,
}

impl Origins {
    /// # Errors
    /// When `pattern` is not a regular expression.
    pub fn new(
        listed: &[String],
        pattern: Option<&str>,
        docker_host: Option<&str>,
    ) -> Result<Self, regex::Error> {
        let whole = |pattern| Regex::new(&format!("^(?:{pattern})$"));
        Ok(Self {
            listed: listed.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect(),
            pattern: pattern.map(whole).transpose()?,
            docker_host: docker_host.map(str::to_owned),
        })
    }

    /// Whether a page of `origin` may use the route at `path`.
    #[must_use]
    pub fn allow(&self, path: &str, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        if takes_cookie(path) && (origin.starts_with("http://") || origin.starts_with("https://")) {
            return true;
        }
        host_of(origin).is_some_and(|host| self.is_near(host))
            || self.listed.iter().any(|listed| listed == origin || listed == "*")
            || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(origin))
    }

    fn is_near(&self, host: &str) -> bool {
        host == "localhost" || host == "127.0.0.1" || self.docker_host.as_deref() == Some(host)
    }
}

/// Routes that pages of any site may embed, since they are shown with a cookie of their own: the cookie's
/// route and the files of workspaces.
#[must_use]
pub fn takes_cookie(path: &str) -> bool {
    if path == "/api/auth/workspace-session" {
        return true;
    }
    let Some((_, below)) = path.strip_prefix("/api/conversations/").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    below == "workspace" || below.starts_with("workspace/")
}

/// The host name of an origin, without its port.
pub(crate) fn host_of(origin: &str) -> Option<&str> {
    let (_, authority) = origin.split_once("://")?;
    Some(without_port(authority))
}

/// An authority's host: `[::1]:80` → `[::1]`, `a:80` → `a`.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether a request asks what a page would be allowed to do.
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of `origin`.
#[must_use]
pub fn preflight(origin: &HeaderValue, allowed: bool, asked: &HeaderMap) -> Response<Body> {
    let (status, text) = match allowed {
        true => (StatusCode::OK, "OK"),
        false => (StatusCode::BAD_REQUEST, "Disallowed CORS origin"),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(VARY, PREFLIGHT_VARY);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    if allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}

/// Marks an ordinary answer to a page of `origin`.
pub fn mark(headers: &mut HeaderMap, origin: Option<(HeaderValue, bool)>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some((origin, allowed)) = origin else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &Origins, path: &str, origin: &str) -> bool {
        origins.allow(path, &HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn loopback_pages_are_allowed_by_name_and_nothing_that_looks_like_them() {
        let origins = Origins::new(&[], None, Some("host.docker.internal")).unwrap();
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://host.docker.internal:1"] {
            assert!(allows(&origins, "/api/x", origin), "{origin}");
        }
        for origin in [
            "null",
            "http://[::1]:3000",
            "http://a.localhost",
            "http://localhost.evil.example",
            "https://evil.example/localhost",
            "http://localhost:80@evil.example",
        ] {
            assert!(!allows(&origins, "/api/x", origin), "{origin}");
        }
    }

    #[test]
    fn the_pattern_must_match_the_whole_origin() {
        let listed = ["https://a.example".to_owned()];
        let origins = Origins::new(&listed, Some(r"https://b\.example|https://c\.example"), None).unwrap();
        assert!(allows(&origins, "/", "https://a.example") && allows(&origins, "/", "https://b.example"));
        assert!(!allows(&origins, "/", "https://b.example.evil.example"));
        assert!(!allows(&origins, "/", "https://evil.example/https://c.example"));
    }

    #[test]
    fn pages_of_any_site_may_show_workspace_files() {
        let origins = Origins::new(&[], None, None).unwrap();
        for path in ["/api/auth/workspace-session", "/api/conversations/x/workspace/a/b.html"] {
            assert!(allows(&origins, path, "https://other.example"), "{path}");
            assert!(!allows(&origins, path, "null"), "{path}");
        }
        assert!(!allows(&origins, "/api/conversations/x/workspaces", "https://other.example"));
        assert!(!allows(&origins, "/api/conversations/workspace", "https://other.example"));
    }
}
