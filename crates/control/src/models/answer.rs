//! A model's answer on its way to the worker, in pieces.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ports::{Bus, Parcel};
use serde_json::json;
use types::brokering::{ModelPiece, Part};

/// How often a worker that waits hears that its call is still under way.
const ALIVE: Duration = Duration::from_secs(3);

/// Bytes of an answer's body in one message.
const PIECE: usize = 256 * 1024;

/// Headers of providers that the client of a worker acts on. Others may say whose account it is.
const PASSED_ON: [&str; 5] = [
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-litellm-response-cost",
    "llm_provider-x-litellm-response-cost",
];

/// The pieces of one answer on their way to the worker. One that has gone is no concern of ours.
pub(super) struct AnswerPieces {
    bus: Arc<dyn Bus>,
    subject: String,
    next: u64,
}

impl AnswerPieces {
    pub fn new(bus: Arc<dyn Bus>, subject: String) -> Self {
        Self { bus, subject, next: 0 }
    }

    /// Does `work`, and says every now and then that it is not forgotten.
    pub async fn kept_alive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(ALIVE, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.send(Part::Alive {}, Bytes::new()).await,
            }
        }
    }

    pub async fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        let text = |name: &str| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
        let headers = PASSED_ON.into_iter().filter_map(text).collect();
        self.send(Part::Head { status: status.as_u16(), headers }, Bytes::new()).await;
    }

    pub async fn body(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.send(Part::Body {}, piece).await;
        }
    }

    pub async fn end(&mut self) {
        self.send(Part::End {}, Bytes::new()).await;
    }

    /// `lasting`: trying again does not help.
    pub async fn fail(&mut self, message: impl Into<String>, lasting: bool) {
        self.send(Part::Failed { message: message.into(), lasting }, Bytes::new()).await;
    }

    /// A whole answer of our own, in the form of providers' errors.
    pub async fn refuse(&mut self, status: StatusCode, headers: &HeaderMap, kind: &str, message: &str) {
        let body = json!({"error": {"type": kind, "message": message}}).to_string();
        self.head(status, headers).await;
        self.body(body.into()).await;
        self.end().await;
    }

    async fn send(&mut self, part: Part, blob: Bytes) {
        let piece = ModelPiece { n: self.next, part };
        self.next += 1;
        // Such a value always serializes.
        let json = serde_json::to_vec(&piece).unwrap_or_default().into();
        if let Err(error) = self.bus.publish(&self.subject, Parcel { json, blob }).await {
            tracing::debug!(%error, "a piece of a model's answer is lost");
        }
    }
}
