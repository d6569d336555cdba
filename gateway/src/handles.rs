//! What the handlers of files, of sockets and of the server's description use. They are here, and not with the handlers,
//! because whoever collects them must not know any route.

use std::sync::Arc;
use std::time::Duration;

use control::conversations::Conversations;
use control::launch::Launch;
use control::placement::{Runtimes, Workers};
use control::setup::Setups;
use control::{Activity, Tasks};
use telemetry::metrics::Http;
use types::calls::Marketplace;

use crate::config::{self, Site};
use crate::feeds::Hub;
use crate::ingress::Ingress;
use crate::offer::Offer;
use crate::reading::Reading;

/// What the server says about itself. Cheap to clone.
#[derive(Clone)]
pub struct About {
    pub offer: Offer,
    pub runtimes: Runtimes,
    /// When the machine below is put to sleep; only shown.
    pub runtime_idle_timeout_seconds: Option<f64>,
    pub build_git_sha: Arc<str>,
    pub build_git_ref: Arc<str>,
    pub ingress: Ingress,
}

impl About {
    pub fn new(site: &Site, offer: Offer, runtimes: Runtimes, ingress: Ingress) -> Self {
        Self {
            offer,
            runtimes,
            runtime_idle_timeout_seconds: site.runtime_idle_timeout_seconds,
            build_git_sha: site.build_git_sha.as_str().into(),
            build_git_ref: site.build_git_ref.as_str().into(),
            ingress,
        }
    }
}

/// Asks workers for files. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    pub workers: Workers,
    pub activity: Activity,
    /// What is cleaned up when nobody waits for it any more.
    pub tasks: Tasks,
}

/// Asks workers for the editor in the browser. Cheap to clone.
#[derive(Clone)]
pub struct Editor {
    pub config: config::Editor,
    pub workers: Workers,
}

/// Makes conversations and waits for them, for clients that know another API. Cheap to clone.
#[derive(Clone)]
pub struct Facade {
    pub conversations: Conversations,
    pub launch: Launch,
    pub offer: Offer,
    pub reading: Reading,
    pub setups: Setups,
    /// What goes on although nobody waits for it any more.
    pub tasks: Tasks,
}

/// Catalogues of skills that the operator names. Cheap to clone.
#[derive(Clone)]
pub struct Marketplaces(pub Arc<[Marketplace]>);

/// How much of secrets is shown to whoever may see it.
#[derive(Clone, Copy)]
pub struct Showing {
    /// Whether anybody is shown them in plain text.
    pub plain: bool,
}

/// What all sockets share. Cheap to clone.
#[derive(Clone)]
pub struct Sockets {
    pub hub: Hub,
    pub tasks: Tasks,
    pub metrics: Http,
    pub ping_every: Duration,
}
