use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use control::Tasks;
use control::models::Models;
use control::placement::{Placement, Workers};
use control::records::Records;
use ports::Ports;
use readmodel::bashlog::Tails;
use readmodel::history::History;
use readmodel::index::Index;
use vault::Vault;

use crate::activity::Activity;
use crate::auth::Auth;
use crate::config::Config;
use crate::cors::Origins;
use crate::extract::JsonLimit;
use crate::feeds::Hub;
use crate::readiness::Readiness;

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
    /// Everything that must end before the server has stopped.
    pub tasks: Tasks,
    pub activity: Activity,
    pub origins: Origins,
    pub readiness: Readiness,
    pub auth: Auth,
    pub bash: Tails,
    pub placement: Arc<dyn Placement>,
    pub workers: Workers,
    pub records: Records,
    pub models: Models,
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

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}

impl FromRef<App> for JsonLimit {
    fn from_ref(app: &App) -> Self {
        Self(app.config.limits.json_bytes)
    }
}
