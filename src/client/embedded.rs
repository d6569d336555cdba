//! A server in this process, for this process alone: on a free port of loopback, with a key that nobody else knows.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::api::Api;
use crate::descriptors::Descriptors;
use crate::serve::{self, Prepared};
use crate::settings::Settings;

/// What was acknowledged is on the disk; what takes longer than this to end is not waited for.
const ENDING: Duration = Duration::from_secs(10);

const HINT: &str = "keep this one's conversations apart with --data DIR, or name the server that is running with --server URL";

pub struct Embedded {
    stop: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Embedded {
    /// # Errors
    /// What keeps a server from starting.
    pub async fn start(settings: Settings) -> anyhow::Result<(Api, Self)> {
        let key = SecretString::from(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
        let stop = CancellationToken::new();
        let prepared = match Prepared::of(for_itself(settings, &key), Descriptors::raise()).await {
            Err(error) if is_taken(&error) => return Err(error.context(HINT)),
            prepared => prepared?,
        };
        let listener = serve::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let running = prepared.start(&stop).await?;
        let serving = tokio::spawn(running.serve(listener));
        Ok((Api::new(&url, Some(key))?, Self { stop, serving }))
    }

    /// Ends it in order: what runs is paused.
    ///
    /// # Errors
    /// Where a part of it has failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        match tokio::time::timeout(ENDING, self.serving).await {
            Ok(ended) => ended.context("the server has panicked")?,
            Err(_) => Ok(()),
        }
    }
}

/// Who may come, and by which names, is said of a server that others reach.
fn for_itself(mut settings: Settings, key: &SecretString) -> Settings {
    settings.session_api_keys = vec![key.clone()];
    settings.editor = None;
    // The folder is the user's own, and nobody else asks for its changes.
    settings.makes_repositories = false;
    settings.init.has_waited = false;
    settings.site.bearer = None;
    settings.site.allowed_hosts = Vec::new();
    settings.site.root_path = String::new();
    settings.site.web_url = None;
    settings
}

fn is_taken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(embedded::OpenError::Locked { .. }))
}
