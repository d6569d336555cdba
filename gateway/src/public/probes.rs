use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use ports::buckets::PROBE;
use ports::{Expect, Kv};
use serde_json::json;

use crate::App;

const KEY: &str = "ready";
const DEADLINE: Duration = Duration::from_secs(2);
const FRESH: Duration = Duration::from_secs(1);

const JSON: [(header::HeaderName, HeaderValue); 1] =
    [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];

#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct HealthStatus {
    #[schema(example = "ok")]
    status: String,
}

/// The process serves.
#[utoipa::path(get, path = "/alive", tag = "Server Details", security(()), responses((status = 200, body = HealthStatus)))]
pub async fn alive() -> Response {
    ok()
}

/// The process serves.
#[utoipa::path(get, path = "/health", tag = "Server Details", security(()), responses((status = 200, body = HealthStatus)))]
pub async fn health() -> Response {
    ok()
}

fn ok() -> Response {
    (JSON, r#"{"status":"ok"}"#).into_response()
}

/// The store takes a value and gives it back.
#[utoipa::path(get, path = "/ready", tag = "Server Details", security(()),
    responses((status = 200, body = HealthStatus), (status = 503, description = "Not yet, or not now", body = HealthStatus)))]
pub async fn ready(State(app): State<App>) -> Response {
    match app.readiness.check(app.ports.kv.as_ref()).await {
        Ok(()) => (JSON, r#"{"status":"ready"}"#).into_response(),
        Err(message) => {
            let body = json!({"status": "initializing", "message": message});
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
        }
    }
}

type Verdict = Result<(), &'static str>;

/// Remembers the last probe of the store for a second, so that polling does not make writes.
#[derive(Default)]
pub struct Readiness {
    last: Mutex<Option<(Instant, Verdict)>>,
}

impl Readiness {
    async fn check(&self, kv: &dyn Kv) -> Verdict {
        if let Some(verdict) = self.remembered() {
            return verdict;
        }
        let verdict = tokio::time::timeout(DEADLINE, round_trip(kv)).await;
        let verdict = verdict.unwrap_or(Err("the store does not answer in time"));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), verdict));
        verdict
    }

    fn remembered(&self) -> Option<Verdict> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(at, _)| at.elapsed() < FRESH).map(|(_, verdict)| verdict)
    }
}

async fn round_trip(kv: &dyn Kv) -> Verdict {
    let now = Bytes::from(types::time::utc_now());
    let Ok(revision) = kv.put(PROBE, KEY, now, Expect::Anything).await else {
        return Err("the store does not take a value");
    };
    match kv.get(PROBE, KEY).await {
        // Another gateway may have written meanwhile.
        Ok(Some(entry)) if entry.revision >= revision => Ok(()),
        _ => Err("the store does not give back what it took"),
    }
}
