//! The only list of routes.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;

use crate::described::{Described, Routes};
use crate::error::ApiError;
use crate::front::Front;
use crate::ui::Ui;
use crate::{
    App, about, auth, bash, conversations, docs, events, files, git, idempotency, measure, redeem, rooms,
    session, sockets, workspace,
};

/// All routes, and what answers where there is none.
pub fn build(app: &App) -> Router {
    let (routes, described) = routes(Some(app)).into_parts();
    let known: Arc<[String]> = described.iter().map(Described::path).collect();
    routes
        .merge(docs::routes(described))
        .route_layer(from_fn(measure::note_route))
        .fallback(move |State(front): State<Front>, State(ui): State<Ui>, request: Request| async move {
            let answer = no_route(&front, &known, &request);
            if answer.status() != StatusCode::NOT_FOUND {
                return answer;
            }
            ui.answer(request.method(), request.uri().path(), request.headers()).await.unwrap_or(answer)
        })
        .method_not_allowed_fallback(async || ApiError::plain(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(app.clone())
}

/// What is served where there is a server.
pub fn described() -> Vec<Described> {
    routes(None).into_parts().1
}

fn routes(app: Option<&App>) -> Routes {
    let open = about::open_routes().merge(sockets::routes()).merge(redeem::routes());
    let api = Routes::new()
        .merge(about::guarded_routes())
        .merge(conversations::routes())
        .merge(events::routes())
        .merge(rooms::routes())
        .nest("/api/bash", bash::routes())
        .nest("/api/file", files::routes().merge(files::global_routes()))
        .nest("/api/git", git::routes())
        .nest("/api/conversations/{runtime_conversation_id}/bash", bash::routes())
        .nest("/api/conversations/{runtime_conversation_id}/file", files::routes())
        .nest("/api/conversations/{runtime_conversation_id}/git", git::routes())
        .guarded(app, |router, app| router.route_layer(from_fn_with_state(app, idempotency::once)));
    // A cookie is made anew each time: the answer holds it, and must not be kept.
    let guarded = api
        .merge(session::routes())
        .merge(rooms::unkept_routes())
        .guarded(app, |router, app| router.route_layer(from_fn_with_state(app, auth::guard)));
    let workspace = workspace::routes()
        .guarded(app, |router, app| router.route_layer(from_fn_with_state(app, auth::workspace_guard)));
    open.merge(guarded).merge(workspace).merge(rooms::own_routes(app))
}

fn no_route(front: &Front, known: &[String], request: &Request) -> Response {
    let path = request.uri().path();
    let other = match path.strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{path}/"),
    };
    if other.is_empty() || !known.iter().any(|template| fits(template, &other)) {
        return ApiError::not_found().into_response();
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{other}{query}", front.base_url(request.headers()));
    match HeaderValue::from_str(&target) {
        Ok(target) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, target)]).into_response(),
        Err(_) => ApiError::not_found().into_response(),
    }
}

/// Whether `path` is one of the paths of `template`, in which `{name}` stands for one segment.
fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fits_its_paths_and_no_others() {
        assert!(fits("/api/tools/", "/api/tools/"));
        assert!(fits("/a/{id}/b", "/a/1/b"));
        for path in ["/a/1", "/a//b", "/a/1/b/", "/a/1/c", "/a/1/b/c"] {
            assert!(!fits("/a/{id}/b", path), "{path}");
        }
    }
}
