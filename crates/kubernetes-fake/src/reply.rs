//! What a request is answered.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

pub enum Reply {
    Json(u16, Value),
    Text(u16, String),
    /// Pieces of a body of this type, as they come to be.
    Stream(&'static str, mpsc::Receiver<Bytes>),
}

impl Reply {
    pub fn ok(object: &Value) -> Self {
        Self::Json(200, object.clone())
    }
}
