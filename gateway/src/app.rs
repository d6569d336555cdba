use std::ops::Deref;
use std::sync::Arc;

use ports::Ports;
use readmodel::bashlog::Tails;
use readmodel::history::History;
use readmodel::index::Index;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vault::Vault;

use crate::activity::Activity;
use crate::auth::Bearer;
use crate::broker::Broker;
use crate::config::Config;
use crate::cors::Origins;
use crate::public::Readiness;
use crate::sandboxes::Sandboxes;
use crate::session::Sessions;
use crate::sockets::Hub;

/// What every handler is given. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The parts of [`App`].
pub struct Shared {
    pub config: Config,
    pub ports: Ports,
    pub vault: Arc<Vault>,
    pub index: Index,
    pub history: History,
    pub hub: Hub,
    /// Cancelled when the server begins to stop: sockets close with 1012, long waits end.
    pub drain: CancellationToken,
    /// Everything that must end before the server has stopped.
    pub tasks: TaskTracker,
    pub activity: Activity,
    pub origins: Origins,
    pub readiness: Readiness,
    pub sessions: Sessions,
    pub bearer: Option<Arc<Bearer>>,
    pub bash: Tails,
    pub sandboxes: Sandboxes,
    pub broker: Broker,
}

impl App {
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
