//! What the roles of a cluster have in common: their way to NATS.

pub mod door;
pub mod gateway;
pub mod init;
mod listener;
pub mod revoke;
pub mod settings;
pub mod supervisor;
pub mod worker;

use std::time::{Duration, Instant};

use settings::Cluster;

const SET_UP_PATIENCE: Duration = Duration::from_secs(120);

/// Connects the part of the cluster called `role`.
///
/// # Errors
/// Unreadable files, and whatever keeps the connection from being made.
pub async fn connect(settings: &Cluster, role: &str) -> anyhow::Result<nats::Connection> {
    let options = nats::Options {
        urls: settings.nats_urls.clone(),
        credentials: settings.nats_credentials_file.as_deref().map(credentials::load).transpose()?,
        ca: settings.authority()?,
        name: format!("manyhands {role}"),
        inbox: None,
    };
    let connection = nats::connect(options).await?;
    tracing::info!(version = connection.server_version(), "connected to NATS");
    Ok(connection)
}

/// The ports, as soon as a gateway has set the storage up.
///
/// # Errors
/// When none does in time, or this part may not use it.
async fn control(connection: &nats::Connection) -> anyhow::Result<ports::Ports> {
    let give_up = Instant::now() + SET_UP_PATIENCE;
    loop {
        match connection.control().await {
            Err(nats::Error::NotSetUp) if Instant::now() < give_up => {
                tracing::info!("waiting for a gateway to set the storage up");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            other => return Ok(other?),
        }
    }
}
