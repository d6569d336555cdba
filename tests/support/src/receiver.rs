//! Somebody whom a server calls by itself: keeps what it was sent, and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper::{Request, Response};
use serde_json::Value;

use crate::http::{self, Answer};

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    pub body: Value,
    headers: Vec<(String, String)>,
    /// Whether it was answered with success.
    pub is_taken: bool,
}

/// What a call is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// 307.
    Elsewhere(String),
    Never,
}

type Answering = Box<dyn FnMut(&Call) -> Reply + Send>;

struct Shared {
    calls: Mutex<Vec<Call>>,
    answering: Mutex<Answering>,
}

/// Serves until its runtime ends.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Takes everything.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn start() -> Self {
        let answering: Mutex<Answering> = Mutex::new(Box::new(|_| Reply::Status(200)));
        let shared = Arc::new(Shared { calls: Mutex::default(), answering });
        let state = shared.clone();
        let address =
            http::serve_whole(http::LOOPBACK, move |request| answer(state.clone(), request)).await.unwrap();
        Self { address, shared }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers so from now on.
    ///
    /// # Panics
    /// Never.
    pub fn answer(&self, answering: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.shared.answering.lock().unwrap() = Box::new(answering);
    }

    /// All calls so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }
}

impl Call {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Value>) -> Answer {
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    let mut call = Call {
        path: request.uri().path().to_owned(),
        headers: headers.collect(),
        body: request.body().clone(),
        is_taken: false,
    };
    let reply = (shared.answering.lock().unwrap())(&call);
    call.is_taken = matches!(reply, Reply::Status(200..300));
    shared.calls.lock().unwrap().push(call);
    let builder = match &reply {
        Reply::Status(status) => Response::builder().status(*status),
        Reply::Elsewhere(location) => Response::builder().status(307).header("location", location),
        Reply::Never => std::future::pending().await,
    };
    builder.body(http::whole(String::new())).unwrap()
}
