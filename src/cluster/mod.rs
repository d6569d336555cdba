//! What the roles of a cluster have in common: their way to NATS.

pub mod door;
pub mod gateway;
pub mod init;
pub mod install;
mod listener;
pub mod moving;
pub mod pods;
pub mod revoke;
#[cfg(feature = "kubernetes")]
mod secrets;
pub mod settings;
pub mod supervisor;
mod trial;
pub mod worker;

use std::time::{Duration, Instant};

use ports::retry::Backoff;
use settings::Cluster;
use tokio_util::sync::CancellationToken;
use types::placement::Credentials;

/// How long the storage is waited for, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often that is said.
const SAYING: Duration = Duration::from_secs(10);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Connects the part of the cluster called `role`.
///
/// # Errors
/// Unreadable files, and whatever keeps the connection from being made.
pub async fn connect(settings: &Cluster, role: &str) -> anyhow::Result<nats::Connection> {
    let credentials = settings.nats_credentials_file.as_deref().map(credentials::load).transpose()?;
    connect_with(credentials, settings, role).await
}

/// # Errors
/// As [`connect`].
async fn connect_with(
    credentials: Option<Credentials>,
    settings: &Cluster,
    role: &str,
) -> anyhow::Result<nats::Connection> {
    let options = nats::Options {
        urls: settings.nats_urls.clone(),
        credentials,
        ca: settings.authority()?,
        servers: Vec::new(),
        name: format!("manyhands {role}"),
        inbox: None,
    };
    let connection = nats::connect(options).await?;
    tracing::info!(version = connection.server_version(), "connected to NATS");
    Ok(connection)
}

/// What `ask` asks for, as soon as NATS and a gateway have made it ready; `None` when it is time to `stop`.
///
/// # Errors
/// When they do not in time, or this part may not have it.
async fn ready<T>(
    stop: &CancellationToken,
    mut ask: impl AsyncFnMut() -> Result<T, nats::Error>,
) -> anyhow::Result<Option<T>> {
    let (give_up, mut pauses) = (Instant::now() + PATIENCE, PAUSES);
    let mut say = Instant::now();
    let asking = async {
        loop {
            match ask().await {
                Err(error @ (nats::Error::NotSetUp | nats::Error::Storage(_)))
                    if Instant::now() < give_up =>
                {
                    if say <= Instant::now() {
                        tracing::info!(%error, "waiting for the storage");
                        say = Instant::now() + SAYING;
                    }
                    tokio::time::sleep(pauses.pause()).await;
                }
                other => return other,
            }
        }
    };
    Ok(stop.run_until_cancelled(asking).await.transpose()?)
}
