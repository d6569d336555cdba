//! What a test can let go wrong between clients and the server.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::status::Status;

/// How the server is away.
#[derive(Clone, Debug, PartialEq)]
pub enum Away {
    /// Nobody listens; what was connected is cut.
    Refused,
    /// Connections are taken, and nothing is answered.
    Hung,
    /// 503 for everything.
    Unavailable,
    /// 429 for everything, with these seconds to wait.
    TooMany(u32),
    /// What answers is no API server: a proxy with a page of its own.
    Page(u16),
}

/// What happens to one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Refused with this.
    Refuse(Status),
    /// Done, and the connection is cut instead of an answer.
    LoseAnswer,
    /// The connection is cut, and nothing done.
    LoseRequest,
    /// Done after a while.
    Slow(Duration),
}

#[derive(Clone, Debug)]
struct Planned {
    verb: String,
    plural: String,
    fault: Fault,
}

pub struct Faults {
    away: watch::Sender<Option<Away>>,
    planned: Mutex<VecDeque<Planned>>,
    asked: Mutex<HashMap<(String, String), usize>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { away: watch::Sender::new(None), planned: Mutex::default(), asked: Mutex::default() }
    }
}

impl Faults {
    pub fn set_away(&self, away: Option<Away>) {
        self.away.send_replace(away);
    }

    pub fn away(&self) -> watch::Receiver<Option<Away>> {
        self.away.subscribe()
    }

    /// For the next request of this kind, such as `create`, `pods` or `create`, `pods/attach`.
    pub fn plan(&self, verb: &str, plural: &str, fault: Fault) {
        self.planned.lock().push_back(Planned { verb: verb.to_owned(), plural: plural.to_owned(), fault });
    }

    pub fn asked(&self, verb: &str, plural: &str) -> usize {
        self.asked.lock().get(&(verb.to_owned(), plural.to_owned())).copied().unwrap_or_default()
    }

    pub fn take(&self, verb: &str, plural: &str) -> Option<Fault> {
        *self.asked.lock().entry((verb.to_owned(), plural.to_owned())).or_default() += 1;
        let mut planned = self.planned.lock();
        let at = planned.iter().position(|planned| planned.verb == verb && planned.plural == plural)?;
        planned.remove(at).map(|planned| planned.fault)
    }
}

pub type Shared = Arc<Faults>;
