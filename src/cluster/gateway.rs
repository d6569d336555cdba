//! `manyhands gateway`: the edge of a cluster. It keeps nothing of its own: any number of them serve the same
//! conversations.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use control::placement::Cluster;
use control::storage::Books;
use control::{Control, Mode, Tasks};
use outbound::{Outbound, Private};
use ports::Kv;
use ports::retry::Backoff;
use secrecy::SecretString;
use telemetry::metrics::Metrics;

use super::listener;
use super::settings;
use crate::descriptors::Descriptors;
use crate::serve::Options;
use crate::settings::Settings;
use crate::signals::stop_on_signal;
use crate::{banner, observe, serving};

const SERVING_AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting, or from stopping in order.
pub fn run(
    options: &Options,
    mut settings: Settings,
    cluster: &settings::Cluster,
) -> anyhow::Result<ExitCode> {
    take_keys(&mut settings, cluster)?;
    // The variable is also set in images, where it is meant for the server of one process.
    settings.allow_open_server = false;
    let _traces = observe::start("manyhands-gateway", &settings)?;
    let runtime = crate::runtime::start()?;
    runtime.block_on(serve(options, &settings, cluster)).map(|()| ExitCode::SUCCESS)
}

/// Keys that are not set are those that `init` made.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn take_keys(settings: &mut Settings, cluster: &settings::Cluster) -> anyhow::Result<()> {
    let Some(keys) = &cluster.keys_dir else { return Ok(()) };
    let read = |name: &str| {
        let path = keys.join("gateway").join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(SecretString::from(text.trim()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    };
    if settings.secret_key.is_none() {
        settings.secret_key = read("secret_key")?;
    }
    if settings.session_api_keys.is_empty() {
        settings.session_api_keys.extend(read("session_key")?);
    }
    Ok(())
}

/// The key that all gateways of a cluster share.
///
/// # Errors
/// It is not set: unlike a server of one process, a gateway makes none of its own.
pub fn secret_key(settings: &Settings, cluster: &settings::Cluster) -> anyhow::Result<SecretString> {
    let key = settings.secret_key.clone();
    key.with_context(|| match &cluster.keys_dir {
        Some(keys) => format!(
            "OH_KEYS_DIR names {}, which has no gateway/secret_key, and OH_SECRET_KEY is not set",
            keys.display()
        ),
        None => "OH_SECRET_KEY must be set, or OH_KEYS_DIR: all gateways of a cluster share one".to_owned(),
    })
}

fn books(cluster: &settings::Cluster, metrics: &Metrics, kv: Arc<dyn Kv>) -> Arc<Books> {
    let work = metrics.work.clone();
    Books::new(kv, cluster.sandbox_storage, move |records| work.appended(records))
}

async fn serve(options: &Options, settings: &Settings, cluster: &settings::Cluster) -> anyhow::Result<()> {
    let address = serving::address(&options.reach, settings).await?;
    let stop = stop_on_signal()?;
    let secret_key = secret_key(settings, cluster)?;
    let metrics = Metrics::of_gateway();
    let vault = Arc::new(serving::vault(&secret_key, settings));
    let workspace_path = cluster.workspaces_root.join("project");
    let mut config =
        serving::gateway(secret_key, settings, metrics.clone(), Descriptors::raise(), workspace_path, false);
    config.site.ui = serving::ui(options)?;
    ensure!(!options.ticket, "--ticket goes with a server of one process: another gateway would not know it");
    let conversations_path = cluster.workspaces_root.join(".manyhands/conversations");
    let mode = Mode::Cluster(Cluster {
        policy: cluster.policy,
        root: cluster.workspaces_root.clone(),
        patience: cluster.start_patience,
    });
    let outbound = Outbound::new(settings.private_addresses.unwrap_or(Private::Refused))
        .with_private(settings.private_hosts.clone());
    let budget = cluster.tenant_budget_usd;
    let worktree_root = settings.conversation_worktree_root.clone();
    let webhooks = serving::webhooks(settings)?;
    let control =
        serving::control(&config, conversations_path, worktree_root, mode, budget, outbound, webhooks);
    let config = serving::checked(config)?;
    let connecting = super::connected(cluster, "gateway", &stop);
    let Some(connection) = connecting.await? else { return Ok(()) };
    let setting_up = super::ready(&stop, async || {
        connection.set_up_on(cluster.nats_replicas).await?;
        connection.control().await
    });
    let Some(ports) = setting_up.await? else { return Ok(()) };
    let books = books(cluster, &metrics, ports.kv);
    // What the control plane stores for a sandbox counts as what its worker does.
    let charging = super::ready(&stop, async || connection.control_at_cost(books.clone()).await);
    let Some(ports) = charging.await? else { return Ok(()) };
    let shown = listener::open(cluster.metrics_address, &metrics, &connection).await?;
    // What workers are answered on ends last: as long as clients are served, somebody stores what their workers do.
    let desks = Tasks::default();
    let storage = tokio::spawn({
        let (connection, ports, drain) = (connection.clone(), ports.clone(), desks.drain.clone());
        // Should it panic, nobody else serves workers here: the gateway ends with it.
        let ending = stop.clone().drop_guard();
        let limits = control::storage::Limits {
            bash_retention: settings.bash_events_retention,
            ..control::storage::Limits::default()
        };
        let watch = control::watched(metrics.calls.clone());
        async move {
            let serve = async || -> anyhow::Result<()> {
                let storage = connection.storage().await?;
                Ok(control::storage::serve(&*storage, &ports, limits, &books, watch.clone(), &drain).await?)
            };
            let mut pauses = SERVING_AGAIN;
            while let Err(error) = serve().await {
                tracing::warn!(%error, "workers cannot be served, trying again");
                if drain.run_until_cancelled(tokio::time::sleep(pauses.pause())).await.is_none() {
                    break;
                }
            }
            // It has ended because all has.
            ending.disarm();
        }
    });
    let served = async {
        let listener = crate::serve::listen(address).await?;
        let bound = listener.local_addr()?;
        banner::of_gateway(bound, settings);
        let control = Control::start(control, &ports, vault, stop.child_token(), &desks).await;
        let control = match control {
            Err(_) if stop.is_cancelled() => return Ok(()),
            control => control.context("the stored conversations cannot be read")?,
        };
        gateway::run(config, &ports, control, listener, &stop).await?;
        anyhow::Ok(())
    };
    // However it ended, what is served beside it ends in order.
    let served = served.await;
    stop.cancel();
    let ((), stored) = tokio::join!(desks.end(), storage);
    let stored = stored.context("the storage for workers has panicked");
    shown.close().await;
    connection.drain().await;
    served.and(stored)
}
