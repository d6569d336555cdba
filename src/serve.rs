//! `manyhands serve`: gateway, supervisor and worker in one process, on files and channels.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::{Control, Mode, Tasks};
use outbound::Outbound;
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::SandboxId;
use vault::Vault;

use crate::descriptors::Descriptors;
use crate::in_process::InProcess;
use crate::peer_flags::PeerFlags;
use crate::settings::Settings;
use crate::signals::stop_on_signal;
use crate::{banner, observe, serving};

/// What the worker gets to begin to answer. Later than that, requests are told that it does not.
const STARTING: Duration = Duration::from_secs(10);

/// Where images of the peer have an editor for the browser.
const EDITOR: &str = "/openhands/.openvscode-server/bin/openvscode-server";

/// What file work that is still going on gets to finish when everything else has stopped.
const LEFTOVERS: Duration = Duration::from_secs(2);

const NO_DATA: &str = "start in another folder, or set OH_CONVERSATIONS_PATH";

const SUPERVISOR_PANICKED: &str = "the supervisor has panicked";

// Where it is reached. (A doc comment would be the text of `manyhands doctor --help`.)
#[derive(clap::Args, Clone)]
pub struct Reach {
    /// Address to listen on [default: OH_HOST, else 0.0.0.0 with session keys or bearer tokens, 127.0.0.1 without]
    #[arg(long)]
    pub host: Option<String>,
    /// TCP port; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Let --host be beyond loopback without session keys and bearer tokens: everyone who reaches the port can run commands
    #[arg(long)]
    pub allow_open_server: bool,
}

#[derive(clap::Args, Clone)]
pub struct Options {
    #[command(flatten)]
    pub reach: Reach,
    /// Show browsers the user interface in this folder, say the build of Agent Canvas, in place of the console
    #[arg(long, value_name = "DIR")]
    pub static_dir: Option<PathBuf>,
    /// Print a link that opens the page at / with the session key: once, within five minutes, from this machine
    #[arg(long)]
    pub ticket: bool,
    #[command(flatten)]
    pub peer: PeerFlags,
}

/// A server that can start: its settings can be meant, and its store is open. Nothing of it runs yet.
pub struct Prepared {
    settings: Settings,
    files: Descriptors,
    ports: ports::Ports,
    store: embedded::Guard,
    configured: Configured,
}

struct Configured {
    gateway: gateway::Checked,
    control: control::Config,
    vault: Arc<Vault>,
    metrics: Metrics,
    outbound: Outbound,
}

/// A server whose parts run, but for the listening.
pub struct Running {
    settings: Settings,
    ports: ports::Ports,
    store: embedded::Guard,
    gateway: gateway::Checked,
    control: Control,
    /// On which the worker is answered.
    desks: Tasks,
    supervisor: JoinHandle<anyhow::Result<()>>,
    sweeping: JoinHandle<()>,
    stop: CancellationToken,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept the server from starting, or from stopping in order.
pub fn run(options: Options, settings: Settings) -> anyhow::Result<ExitCode> {
    let _traces = observe::start("manyhands", &settings)?;
    to_its_end(serve(options, settings))
}

/// On a runtime of its own.
///
/// # Errors
/// Those of `serving`.
pub fn to_its_end(serving: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = crate::runtime::start()?;
    let served = runtime.block_on(serving);
    // A thread may wait for a file for ever. What was acknowledged is on the disk.
    runtime.shutdown_timeout(LEFTOVERS);
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(options: Options, mut settings: Settings) -> anyhow::Result<()> {
    let files = Descriptors::raise();
    let address = serving::address(&options.reach, &settings).await?;
    settings.site.ui = serving::ui(&options)?;
    let ticket = serving::ticket(&options, &mut settings, address.ip())?;
    let stop = stop_on_signal()?;
    let prepared = match Prepared::of(settings, files).await {
        Err(error) if error.is::<embedded::OpenError>() => anyhow::bail!("{error:#}; {NO_DATA}"),
        prepared => prepared?,
    };
    let listener = listen(address).await?;
    let bound = listener.local_addr()?;
    let running = prepared.start(&stop).await?;
    banner::print(bound, &running.settings);
    if let Some(ticket) = ticket {
        banner::link(bound, &running.settings, &ticket);
    }
    running.serve(listener).await
}

/// # Errors
/// A sentence.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            anyhow::bail!("cannot listen on {address}: {error}; stop what uses it, or choose another --port")
        }
        bound => bound.with_context(|| format!("cannot listen on {address}")),
    }
}

impl Prepared {
    /// # Errors
    /// What keeps such a server from starting. It has left nothing open.
    pub async fn of(settings: Settings, files: Descriptors) -> anyhow::Result<Self> {
        let (ports, store) = embedded::open(embedded::Options {
            root: settings.state_dir(),
            conversations: settings.conversations_path.clone(),
            bash_events: settings.bash_events_dir.clone(),
            fsync: settings.fsync,
        })
        .await?;
        match configure(&settings, files).await {
            Ok(configured) => Ok(Self { settings, files, ports, store, configured }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Starts all parts; what a client sends meanwhile waits. `stop` is cancelled when one of them ends.
    ///
    /// # Errors
    /// When what is stored cannot be read.
    pub async fn start(self, stop: &CancellationToken) -> anyhow::Result<Running> {
        let Self { settings, files, ports, store, configured } = self;
        let Configured { gateway, control, vault, metrics, outbound } = configured;
        let worker_answers = CancellationToken::new();
        let driver =
            Arc::new(in_process(&ports, &settings, &metrics, files, &outbound, worker_answers.clone())?);
        let sandboxes = supervisor::Config::Embedded { always: vec![SandboxId::shared()] };
        let supervising = supervisor::run(sandboxes, ports.clone(), driver, stop.clone());
        let supervisor = spawn_part(stop, async move { supervising.await.map_err(anyhow::Error::from) });
        tokio::select! {
            () = worker_answers.cancelled() => {}
            () = stop.cancelled() => {}
            () = tokio::time::sleep(STARTING) => tracing::warn!("the worker does not answer yet"),
        }
        let desks = Tasks::default();
        let control = Control::start(control, &ports, vault, stop.child_token(), &desks).await;
        let control = match control.context("the stored conversations cannot be read") {
            Ok(control) => control,
            Err(error) => {
                stop.cancel();
                supervisor.await.context(SUPERVISOR_PANICKED)??;
                desks.end().await;
                store.close().await;
                return Err(error);
            }
        };
        let sweeping = tokio::spawn(gateway::idempotency::sweep(ports.clone(), stop.clone()));
        let stop = stop.clone();
        Ok(Running { settings, ports, store, gateway, control, desks, supervisor, sweeping, stop })
    }
}

impl Running {
    /// Serves on `listener` until the server is stopped, and ends all parts.
    ///
    /// # Errors
    /// When one of them has failed.
    pub async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        let Self { ports, store, gateway, control, desks, supervisor, sweeping, stop, .. } = self;
        let until = stop.clone();
        let gateway = spawn_part(&stop, async move {
            gateway::run(gateway, &ports, control, listener, &until).await.map_err(anyhow::Error::from)
        });
        let served = gateway.await.context("the gateway has panicked");
        let supervised = supervisor.await.context(SUPERVISOR_PANICKED);
        sweeping.await.context("the removal of old answers has panicked")?;
        desks.end().await;
        // Nobody writes any more.
        store.close().await;
        served??;
        supervised??;
        Ok(())
    }
}

async fn configure(settings: &Settings, files: Descriptors) -> anyhow::Result<Configured> {
    tokio::fs::create_dir_all(&settings.workspace_path)
        .await
        .with_context(|| format!("cannot make {}", settings.workspace_path.display()))?;
    let secret_key = secret_key(settings)?;
    let vault = Arc::new(serving::vault(&secret_key, settings));
    let metrics = Metrics::of_gateway();
    let workspace_path = std::path::absolute(&settings.workspace_path)?;
    let gateway_config = serving::gateway(secret_key, settings, metrics.clone(), files, workspace_path, true);
    let conversations_path = settings.conversations_path.clone();
    let outbound = Outbound::new(settings.private_addresses.unwrap_or_default())
        .with_private(settings.private_hosts.clone());
    let worktree_root = settings.conversation_worktree_root.clone();
    let control_config = serving::control(
        &gateway_config,
        conversations_path,
        worktree_root,
        Mode::Single,
        None,
        outbound.clone(),
        serving::webhooks(settings)?,
    );
    let gateway = serving::checked(gateway_config)?;
    Ok(Configured { gateway, control: control_config, vault, metrics, outbound })
}

/// Spawns a part of the server; its end, also by a panic, stops the others.
fn spawn_part<T: Send + 'static>(
    stop: &CancellationToken,
    part: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let stop_others = stop.clone().drop_guard();
    tokio::spawn(async move {
        let _stop_others = stop_others;
        part.await
    })
}

/// The key that is set, or this machine's own.
///
/// # Errors
/// The file of that cannot be read or made.
pub fn secret_key(settings: &Settings) -> anyhow::Result<SecretString> {
    if let Some(key) = &settings.secret_key {
        return Ok(key.clone());
    }
    let path = serving::key_file(settings);
    vault::machine_key(&path).with_context(|| format!("cannot read or make the key file {}", path.display()))
}

fn in_process(
    ports: &ports::Ports,
    settings: &Settings,
    metrics: &Metrics,
    files: Descriptors,
    outbound: &Outbound,
    answers: CancellationToken,
) -> anyhow::Result<InProcess> {
    let models = llm::Client::new(Arc::new(llm::Direct::new(outbound.clone())));
    let observations_root = std::path::absolute(&settings.conversations_path)?;
    let project_dir = std::path::absolute(&settings.workspace_path)?;
    let state = std::path::absolute(settings.state_dir())?;
    let (scratch, apps, worktrees) = (state.join("scratch"), state.join("apps"), state.join("worktrees"));
    let max_concurrent_runs = settings.max_concurrent_runs;
    let bash_retention = settings.bash_events_retention;
    let (outbound, extensions) = (outbound.clone(), settings.extensions.clone());
    let makes_repositories = settings.makes_repositories;
    let editor = settings.editor.clone().map(|editor| worker::services::EditorConfig {
        program: EDITOR.into(),
        port: editor.port,
        base_path: editor.base_path,
    });
    let (work, watch) = (metrics.work.clone(), control::watched(metrics.calls.clone()));
    Ok(InProcess::new(ports.clone(), models, move |instance| worker::Config {
        max_concurrent_runs,
        most_commands: files.commands(),
        most_shells: files.shells(),
        bash_retention,
        answers: answers.clone(),
        editor: editor.clone(),
        extensions: extensions.clone(),
        outbound: outbound.clone(),
        scratch: scratch.clone(),
        apps: apps.clone(),
        worktrees: worktrees.clone(),
        makes_repositories,
        work: work.clone(),
        watch: watch.clone(),
        ..worker::Config::new(
            instance.sandbox.clone(),
            instance.epoch,
            observations_root.clone(),
            project_dir.clone(),
        )
    }))
}
