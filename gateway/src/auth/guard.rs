//! The layers that let known callers through.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::{Auth, Caller, Right};
use crate::admission::Admission;
use crate::error::ApiError;

/// Calls that change nothing though their methods say otherwise: the cookie only lets a browser read, and the others look for
/// what a body says. A star is any one segment of a path.
const READING: [&str; 6] = [
    "/api/auth/workspace-session",
    "/api/agent-profiles/*/materialize",
    "/api/hooks",
    "/api/plugins",
    "/api/skills",
    "/api/sub-agents",
];

/// Calls that act though their methods say otherwise: who opens an editor gets a shell with it.
const ACTING: [&str; 2] = ["/api/vscode/url", "/api/conversations/*/vscode/url"];

/// What tells of all tenants.
const ADMINISTERING: [&str; 1] = ["/metrics"];

/// Lets a request through whose sender is known and may do it. Looks at headers alone, so the body of a
/// refused request is not read.
pub async fn guard(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    match auth.named_by(request.headers()).caller() {
        Some(caller) => admit(&auth, caller, request, next).await,
        None => refuse(StatusCode::UNAUTHORIZED),
    }
}

/// As [`guard`], and also for a session key that comes as a bearer token.
pub async fn facade_guard(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    match auth.named_as_elsewhere(request.headers()).caller() {
        Some(caller) => admit(&auth, caller, request, next).await,
        None => refuse(StatusCode::UNAUTHORIZED),
    }
}

/// As [`guard`], and also for the cookie of a workspace session: the files pages of a browser show.
pub async fn workspace_guard(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let by_header = auth.named_by(request.headers()).caller();
    match by_header.or_else(|| auth.sessions().caller(request.headers())) {
        Some(caller) => admit(&auth, caller, request, next).await,
        None => refuse(StatusCode::UNAUTHORIZED),
    }
}

async fn admit(auth: &Auth, caller: Caller, mut request: Request, next: Next) -> Response {
    if let Some(admission) = request.extensions().get::<Admission>() {
        admission.prove();
    }
    if let Err(too_often) = auth.admit(&caller) {
        return too_often.into_response();
    }
    if !caller.may(needed(&request)) {
        return refuse(StatusCode::FORBIDDEN);
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn needed(request: &Request) -> Right {
    let path = request.uri().path();
    if ADMINISTERING.contains(&path) {
        return Right::Admin;
    }
    let is_one_of = |templates: &[&str]| templates.iter().any(|template| fits(template, path));
    let changes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    let acts = if changes { !is_one_of(&READING) } else { is_one_of(&ACTING) };
    if acts { Right::Write } else { Right::Read }
}

fn fits(template: &str, path: &str) -> bool {
    let (wanted, given) = (template.split('/'), path.split('/'));
    let fits = |(wanted, given): (&str, &str)| wanted == given || (wanted == "*" && !given.is_empty());
    wanted.clone().count() == given.clone().count() && wanted.zip(given).all(fits)
}

fn refuse(status: StatusCode) -> Response {
    ApiError::plain(status).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_are_taken_for_reading() {
        let fits = |path: &str| READING.iter().any(|template| fits(template, path));
        assert!(fits("/api/agent-profiles/a%2Fb/materialize"));
        for path in [
            "/api/agent-profiles//materialize",
            "/api/agent-profiles/a/materialize/",
            "/api/agent-profiles/a",
        ] {
            assert!(!fits(path), "{path}");
        }
    }
}
