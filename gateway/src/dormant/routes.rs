//! What is answered by a server that waits for its settings.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control::Activity;
use http::{StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::Asked;
use crate::admission::Admission;
use crate::config::Init;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, JsonLimit};
use crate::gate::is_websocket;
use crate::handles::About;
use crate::init_key;
use crate::schema::init::{InitRequest, InitState, InitStatus};
use crate::{about, docs, router};

/// Below these is what there will be.
const COMING: [&str; 2] = ["/api/", "/v1/"];

/// Of settings.
const MOST_BODY: usize = 1 << 20;

/// What is said of a start that failed; the log has the cause.
pub(super) const FAILED: &str = "The server cannot start with these settings; its log says why";

/// The same, where it cannot go on either.
const ENDING: &str = "The server cannot start with these settings, and ends; its log says why";

/// All that is said to others than the one who told them.
pub(super) const REFUSED: &str = "The settings were refused";

/// What came of a call.
pub(super) enum Became {
    Ready,
    Refused(String),
    /// For the log.
    Failed(String),
    /// For the log.
    Ending(String),
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Dormant(Arc<Inner>);

struct Inner {
    init: Init,
    about: About,
    activity: Activity,
    status: Mutex<InitStatus>,
    asking: mpsc::Sender<Asked>,
}

impl FromRef<Dormant> for About {
    fn from_ref(dormant: &Dormant) -> Self {
        dormant.0.about.clone()
    }
}

impl FromRef<Dormant> for Activity {
    fn from_ref(dormant: &Dormant) -> Self {
        dormant.0.activity.clone()
    }
}

impl FromRef<Dormant> for JsonLimit {
    fn from_ref(_: &Dormant) -> Self {
        Self(MOST_BODY)
    }
}

pub(super) fn build(dormant: Dormant) -> Router {
    Router::new()
        .route("/alive", get(async || says("ok")))
        .route("/health", get(async || says("ok")))
        .route("/ready", get(async || says("ready")))
        .merge(about::bare_routes())
        .merge(docs::routes(router::described()))
        .route("/api/init", get(status).post(initialize))
        .fallback(not_yet)
        .method_not_allowed_fallback(async || ApiError::plain(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(dormant)
}

impl Dormant {
    pub(super) fn new(init: Init, about: About, asking: mpsc::Sender<Asked>) -> Self {
        let status = Mutex::new(InitStatus { state: InitState::Dormant, error: None });
        Self(Arc::new(Inner { init, about, activity: Activity::default(), status, asking }))
    }

    pub(super) fn wait_again(&self, error: &str) {
        self.move_to(InitState::Dormant, error);
    }

    pub(super) fn give_up(&self) {
        self.move_to(InitState::Initializing, ENDING);
    }

    pub(super) fn become_ready(&self) {
        *self.0.status.lock() = InitStatus::READY;
    }

    fn move_to(&self, state: InitState, error: &str) {
        *self.0.status.lock() = InitStatus { state, error: Some(error.to_owned()) };
    }

    fn state(&self) -> InitState {
        self.0.status.lock().state
    }

    /// Hands a call over, if none is under way.
    fn hand_over(&self, request: InitRequest) -> ApiResult<oneshot::Receiver<Became>> {
        let (answer, became) = oneshot::channel();
        let mut status = self.0.status.lock();
        if status.state != InitState::Dormant {
            return Err(ApiError::bad_request(status.state.in_the_way()));
        }
        let asked = Asked { request, dormant: self.clone(), answer };
        self.0.asking.try_send(asked).map_err(|_| stopping())?;
        *status = InitStatus { state: InitState::Initializing, error: None };
        Ok(became)
    }
}

fn says(status: &str) -> axum::Json<Value> {
    axum::Json(json!({ "status": status }))
}

async fn status(State(dormant): State<Dormant>) -> Json<InitStatus> {
    Json(dormant.0.status.lock().clone())
}

/// The key is asked for before the body is read.
async fn initialize(State(dormant): State<Dormant>, request: Request) -> ApiResult<Response> {
    init_key::check(&dormant.0.init, request.headers())?;
    // What follows may take long, and who has the key does not make room for strangers.
    if let Some(admission) = request.extensions().get::<Admission>() {
        admission.prove();
    }
    let Json(told) = Json::<InitRequest>::from_request(request, &dormant).await?;
    told.check()?;
    match dormant.hand_over(told)?.await {
        // The next call is for another server, which gets connections of its own.
        Ok(Became::Ready) => Ok(([(header::CONNECTION, "close")], Json(InitStatus::READY)).into_response()),
        Ok(Became::Refused(why)) => Err(ApiError::unprocessable(why)),
        Ok(Became::Failed(cause)) => Err(failed(FAILED, cause)),
        Ok(Became::Ending(cause)) => Err(failed(ENDING, cause)),
        Err(_) => Err(stopping()),
    }
}

fn failed(detail: &'static str, cause: String) -> ApiError {
    let (status, cause) = (StatusCode::INTERNAL_SERVER_ERROR, Some(cause));
    ApiError::Failed { status, detail: detail.into(), cause, again: false }
}

fn stopping() -> ApiError {
    unavailable("The server is stopping".to_owned())
}

async fn not_yet(State(dormant): State<Dormant>, request: Request) -> ApiError {
    let is_socket = is_websocket(request.headers());
    if !is_socket && !COMING.iter().any(|below| request.uri().path().starts_with(below)) {
        return ApiError::not_found();
    }
    let state = dormant.state().name();
    let detail = format!("server is in deferred-init state '{state}'; call POST /api/init first");
    match is_socket {
        true => ApiError::new(StatusCode::FORBIDDEN, detail),
        false => unavailable(detail),
    }
}

fn unavailable(detail: String) -> ApiError {
    ApiError::Failed {
        status: StatusCode::SERVICE_UNAVAILABLE,
        detail: detail.into(),
        cause: None,
        again: true,
    }
}
