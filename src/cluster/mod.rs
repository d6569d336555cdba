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

use std::time::Duration;

use ports::retry::Backoff;
use settings::Cluster;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::placement::Credentials;

/// How long NATS and the storage are waited for, each, and how often they are looked for.
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

/// The same for who waits for a server as for what is in it; `None` when it is time to `stop`.
///
/// # Errors
/// As [`connect`].
async fn connected(
    settings: &Cluster,
    role: &str,
    stop: &CancellationToken,
) -> anyhow::Result<Option<nats::Connection>> {
    let credentials = settings.nats_credentials_file.as_deref().map(credentials::load).transpose()?;
    let options = options(credentials, settings, role)?;
    let connection = ready(stop, async || nats::connect(options.clone()).await).await?;
    Ok(connection.inspect(tell_of))
}

/// # Errors
/// As [`connect`].
async fn connect_with(
    credentials: Option<Credentials>,
    settings: &Cluster,
    role: &str,
) -> anyhow::Result<nats::Connection> {
    let connection = nats::connect(options(credentials, settings, role)?).await?;
    tell_of(&connection);
    Ok(connection)
}

fn options(
    credentials: Option<Credentials>,
    settings: &Cluster,
    role: &str,
) -> anyhow::Result<nats::Options> {
    Ok(nats::Options {
        urls: settings.nats_urls.clone(),
        credentials,
        ca: settings.authority()?,
        servers: Vec::new(),
        name: format!("manyhands {role}"),
        inbox: None,
    })
}

fn tell_of(connection: &nats::Connection) {
    tracing::info!(version = connection.server_version(), "connected to NATS");
}

/// What `ask` asks for, as soon as NATS is there and a gateway has made it ready; `None` when it is time to `stop`.
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
                Err(
                    error @ (nats::Error::Unreachable { .. }
                    | nats::Error::NotSetUp
                    | nats::Error::Storage(_)),
                ) if Instant::now() < give_up => {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TRY: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_up_within_two_minutes_is_waited_for_and_no_other() {
        let began = Instant::now();
        let unreachable =
            || nats::Error::Unreachable { urls: "nats://nats:4222".to_owned(), reason: "refused".to_owned() };
        let up_after = async |up: Duration| {
            let began = Instant::now();
            // What one try takes, at most.
            let ask = async || match up.checked_sub(began.elapsed()) {
                Some(wait) if wait > TRY => {
                    tokio::time::sleep(TRY).await;
                    Err(unreachable())
                }
                wait => {
                    tokio::time::sleep(wait.unwrap_or_default()).await;
                    Ok(())
                }
            };
            ready(&CancellationToken::new(), ask).await
        };
        assert!(up_after(Duration::from_secs(100)).await.unwrap().is_some());
        assert!(began.elapsed() >= Duration::from_secs(100));
        assert!(up_after(Duration::from_secs(600)).await.is_err());
    }
}
