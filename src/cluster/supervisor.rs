//! `manyhands supervisor`: starts and stops the workers that the records ask for.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use ports::retry::while_unavailable;
use ports::{Error, Ports};
use supervisor::Driver;
use supervisor::drivers::WorkerSettings;
use supervisor::drivers::docker::{self, Containers};
use supervisor::drivers::process::{self, Processes};
use supervisor::{CREDENTIALS_LIFETIME, Minter, NoCredentials};
use telemetry::metrics::Metrics;
#[cfg(feature = "kubernetes")]
use types::buckets::ALLOCATIONS;
use types::placement::{CommandUser, Credentials};
use types::{Epoch, SandboxId};

use super::listener;
use super::settings::{self, Cluster};
use crate::observe;
use crate::settings::Settings;
use crate::signals::stop_on_signal;

/// Whom commands in containers run as: nobody of the image's own.
const COMMAND_USER: CommandUser = CommandUser { uid: 10_001, gid: 10_001 };

#[cfg(not(feature = "kubernetes"))]
pub const NO_PODS: &str = "this program was built without the feature `kubernetes`";

/// What a supervisor that was told to stop, or was killed, may have its turn for.
const TURN: Duration = Duration::from_secs(60);

/// Supervises until SIGTERM or SIGINT; workers in containers go on without it.
///
/// # Errors
/// What kept it from starting.
pub fn run(settings: &Settings, cluster: &Cluster) -> anyhow::Result<ExitCode> {
    let _traces = observe::start("manyhands-supervisor", settings)?;
    let runtime = crate::runtime::start()?;
    runtime.block_on(supervise(settings, cluster)).map(|()| ExitCode::SUCCESS)
}

/// Ends all workers, before the whole cluster is taken down; the next supervisor starts those that are wanted.
///
/// # Errors
/// When a supervisor works, or the container service cannot be used.
pub fn end(settings: &Settings, cluster: &Cluster) -> anyhow::Result<ExitCode> {
    let _traces = observe::start("manyhands-supervisor", settings)?;
    anyhow::ensure!(
        cluster.sandboxes.driver != settings::Driver::Process,
        "workers that are processes end with their supervisor"
    );
    let runtime = crate::runtime::start()?;
    runtime.block_on(async {
        let connection = super::connect(cluster, "supervisor").await?;
        let (ports, mark) = (connection.control().await?, Some(connection.mark().await?));
        match cluster.sandboxes.driver {
            settings::Driver::Kubernetes => end_pods(cluster, mark, &ports).await?,
            _ => end_containers(cluster, mark, &ports).await?,
        }
        connection.drain().await;
        Ok(ExitCode::SUCCESS)
    })
}

async fn end_containers(cluster: &Cluster, mark: Option<String>, ports: &Ports) -> anyhow::Result<()> {
    let config = docker::Config { mark, ..containers(cluster, WorkerSettings::default()) };
    let containers = Containers::connect(config).await.context("the container service cannot be used")?;
    supervisor::end(ports, &containers, TURN).await?;
    Ok(containers.remove_rest().await?)
}

#[cfg(feature = "kubernetes")]
async fn end_pods(cluster: &Cluster, mark: Option<String>, ports: &Ports) -> anyhow::Result<()> {
    let pods = super::pods::connect(cluster, WorkerSettings::default(), mark).await?;
    supervisor::end(ports, &pods, TURN).await?;
    Ok(pods.remove_rest().await?)
}

#[cfg(not(feature = "kubernetes"))]
async fn end_pods(_: &Cluster, _: Option<String>, _: &Ports) -> anyhow::Result<()> {
    anyhow::bail!(NO_PODS)
}

async fn supervise(settings: &Settings, cluster: &Cluster) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let connecting = super::connected(cluster, "supervisor", &stop);
    let Some(connection) = connecting.await? else { return Ok(()) };
    let asking = super::ready(&stop, async || Ok((connection.control().await?, connection.mark().await?)));
    let Some((ports, mark)) = asking.await? else { return Ok(()) };
    let waiting = stop.run_until_cancelled(until_there(cluster));
    let Some(()) = waiting.await.transpose()? else { return Ok(()) };
    let driver = stop.run_until_cancelled(driver(settings, cluster, mark, &ports));
    let Some(driver) = driver.await.transpose()? else { return Ok(()) };
    let metrics = Metrics::of_supervisor();
    let listener = listener::open(cluster.metrics_address, &metrics, &connection).await?;
    let config = supervisor::Cluster {
        name: cluster.name.clone(),
        warm_workers: cluster.sandboxes.warm,
        idle_limit: cluster.sandboxes.idle,
        pending_limit: cluster.sandboxes.pods.pending.unwrap_or(supervisor::PENDING),
        limits: supervisor::Limits {
            per_tenant: cluster.sandboxes.limit_per_tenant,
            per_node: cluster.sandboxes.limit,
        },
        minter: minter(cluster)?,
        metrics: metrics.placement.clone(),
    };
    tracing::info!(cluster = cluster.name, "supervising");
    supervisor::run(supervisor::Config::Cluster(config), ports, driver, stop).await?;
    listener.close().await;
    connection.drain().await;
    Ok(())
}

async fn driver(
    settings: &Settings,
    cluster: &Cluster,
    mark: String,
    ports: &Ports,
) -> anyhow::Result<Arc<dyn Driver>> {
    let sandboxes = &cluster.sandboxes;
    let worker = worker(settings, cluster)?;
    Ok(match sandboxes.driver {
        settings::Driver::Process => Arc::new(Processes::new(process::Config {
            program: std::env::current_exe().context("cannot find the own program")?,
            root: std::path::absolute(&sandboxes.process_root)?,
            environment: child_environment::inherited().collect(),
            worker: WorkerSettings { collector: telemetry::collector_of_environment(), ..worker },
        })),
        #[cfg(feature = "kubernetes")]
        settings::Driver::Kubernetes => {
            let pods = super::pods::connect(cluster, worker, Some(mark)).await?;
            if pods.has_no_files().await && !ports.kv.list(ALLOCATIONS).await?.is_empty() {
                tracing::warn!(
                    "the records know sandboxes, and there is no volume of any: their workspaces are empty; if the namespace \
                     (OH_KUBERNETES_NAMESPACE) or OH_CLUSTER was another before, stop this supervisor (docs/kubernetes.md, \"Upgrade\")"
                );
            }
            Arc::new(pods)
        }
        #[cfg(not(feature = "kubernetes"))]
        settings::Driver::Kubernetes => anyhow::bail!(NO_PODS),
        settings::Driver::Docker => {
            let config = docker::Config { mark: Some(mark), claims: true, ..containers(cluster, worker) };
            let containers =
                Containers::connect(config).await.context("the container service cannot be used")?;
            let kv = ports.kv.as_ref();
            while_unavailable(super::PAUSES, super::PATIENCE, || containers.refuse_lost_files(kv)).await?;
            Arc::new(containers)
        }
    })
}

/// Until the container service answers: it may start later, or be away for a while.
async fn until_there(cluster: &Cluster) -> anyhow::Result<()> {
    if cluster.sandboxes.driver != settings::Driver::Docker {
        return Ok(());
    }
    let config = containers(cluster, WorkerSettings::default());
    let (mut pauses, mut say) = (super::PAUSES, Instant::now());
    loop {
        match docker::answers(&config).await {
            Err(error @ Error::Unavailable(_)) if say <= Instant::now() => {
                tracing::warn!(%error, "waiting for the container service");
                say = Instant::now() + super::SAYING;
            }
            Err(Error::Unavailable(_)) => {}
            other => return other.context("the container service cannot be used"),
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

/// What workers are told.
///
/// # Errors
/// When a file that a setting names cannot be read.
pub fn worker(settings: &Settings, cluster: &Cluster) -> anyhow::Result<WorkerSettings> {
    Ok(WorkerSettings {
        nats_urls: cluster.worker_nats_urls.clone(),
        servers: cluster.nats_urls.clone(),
        ca: cluster.authority()?,
        max_concurrent_runs: settings.max_concurrent_runs,
        log_level: settings.log_level.clone(),
        collector: None,
        command_user: commands_have_a_user(&cluster.sandboxes).then_some(COMMAND_USER),
        pass_env: settings.inherited.further().to_vec(),
        bash_retention: settings.bash_events_retention,
    })
}

/// Who is not root makes nobody another user.
fn commands_have_a_user(sandboxes: &settings::Sandboxes) -> bool {
    match sandboxes.driver {
        settings::Driver::Docker => true,
        settings::Driver::Kubernetes => sandboxes.pods.is_baseline,
        settings::Driver::Process => false,
    }
}

/// How containers are made.
pub fn containers(cluster: &Cluster, worker: WorkerSettings) -> docker::Config {
    let sandboxes = &cluster.sandboxes;
    let mut config = docker::Config::new(
        cluster.name.clone(),
        sandboxes.image.clone(),
        sandboxes.network.clone(),
        sandboxes.worker_binary.clone(),
    );
    config.worker = worker;
    config.door.clone_from(&sandboxes.door);
    config.files.clone_from(&sandboxes.files);
    config.runtime.clone_from(&sandboxes.runtime);
    if let Some(host) = &sandboxes.docker_host {
        config.host.clone_from(host);
    }
    if let Some(mebibytes) = sandboxes.memory_mib {
        config.limits.memory = mebibytes << 20;
    }
    if let Some(cpus) = sandboxes.cpus {
        config.limits.cpus = cpus;
    }
    if let Some(processes) = sandboxes.processes {
        config.limits.processes = processes;
    }
    config
}

fn minter(cluster: &Cluster) -> anyhow::Result<Arc<dyn Minter>> {
    let Some(path) = &cluster.minter_file else { return Ok(Arc::new(NoCredentials)) };
    credentials::Minter::load(path)?;
    Ok(Arc::new(Signing(path.clone())))
}

/// Reads the key whenever it is needed: it may have been replaced.
struct Signing(PathBuf);

impl Minter for Signing {
    fn mint(&self, sandbox: &SandboxId, epoch: Epoch) -> ports::Result<Option<Credentials>> {
        let lifetime: Duration = CREDENTIALS_LIFETIME;
        credentials::Minter::load(&self.0)
            .and_then(|key| key.mint_worker(sandbox, epoch, lifetime))
            .map(Some)
            .map_err(|error| Error::Internal(error.to_string()))
    }
}
