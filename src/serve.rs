//! `manyhands serve`: gateway, supervisor and worker in one process, on files and channels.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::{Control, Mode};
use outbound::Outbound;
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::SandboxId;

use crate::descriptors::Descriptors;
use crate::in_process::InProcess;
use crate::settings::Settings;
use crate::signals::stop_on_signal;
use crate::{banner, observe, serving};

/// What the worker gets to begin to answer. Later than that, requests are told that it does not.
const STARTING: Duration = Duration::from_secs(10);

/// Where images of the peer have an editor for the browser.
const EDITOR: &str = "/openhands/.openvscode-server/bin/openvscode-server";

/// What file work that is still going on gets to finish when everything else has stopped.
const LEFTOVERS: Duration = Duration::from_secs(2);

#[derive(clap::Args, Clone)]
pub struct Options {
    /// Address to listen on [default: 127.0.0.1 without session keys, 0.0.0.0 with them]
    #[arg(long)]
    pub host: Option<String>,
    /// TCP port; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Listen beyond loopback without any session key: everyone who reaches the port can run commands
    #[arg(long)]
    pub allow_open_server: bool,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What kept the server from starting, or from stopping in order.
pub fn run(options: Options, settings: Settings) -> anyhow::Result<ExitCode> {
    let _traces = observe::start("manyhands", &settings)?;
    let runtime = crate::runtime::start()?;
    let served = runtime.block_on(serve(options, settings));
    // A thread may wait for a file for ever. What was acknowledged is on the disk.
    runtime.shutdown_timeout(LEFTOVERS);
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(options: Options, settings: Settings) -> anyhow::Result<()> {
    let files = Descriptors::raise();
    let address = serving::address(&options, &settings).await?;
    let stop = stop_on_signal()?;
    let (ports, store) = embedded::open(embedded::Options {
        root: settings.state_dir(),
        conversations: settings.conversations_path.clone(),
        bash_events: settings.bash_events_dir.clone(),
        fsync: settings.fsync,
    })
    .await?;
    tokio::fs::create_dir_all(&settings.workspace_path)
        .await
        .with_context(|| format!("cannot make {}", settings.workspace_path.display()))?;
    let secret_key = secret_key(&settings)?;
    let vault = Arc::new(serving::vault(&secret_key, &settings));
    let metrics = Metrics::of_gateway();
    let workspace_path = std::path::absolute(&settings.workspace_path)?;
    let gateway_config =
        serving::gateway(secret_key, &settings, metrics.clone(), files, workspace_path, true);
    let conversations_path = settings.conversations_path.clone();
    let outbound = Outbound::new(settings.private_addresses.unwrap_or_default());
    let worktree_root = settings.conversation_worktree_root.clone();
    let control_config = serving::control(
        &gateway_config,
        conversations_path,
        worktree_root,
        Mode::Single,
        None,
        outbound.clone(),
    );
    let gateway_config = gateway::check(gateway_config)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;

    let worker_answers = CancellationToken::new();
    let driver = Arc::new(in_process(&ports, &settings, &metrics, files, &outbound, worker_answers.clone())?);
    let sandboxes = supervisor::Config::Embedded { always: vec![SandboxId::shared()] };
    let supervising = supervisor::run(sandboxes, ports.clone(), driver, stop.clone());
    let supervisor = spawn_part(&stop, supervising);
    tokio::select! {
        () = worker_answers.cancelled() => {}
        () = stop.cancelled() => {}
        () = tokio::time::sleep(STARTING) => tracing::warn!("the worker does not answer yet"),
    }
    let sweeping = tokio::spawn(gateway::idempotency::sweep(ports.clone(), stop.clone()));
    let until = stop.clone();
    let gateway = spawn_part(&stop, async move {
        let control = Control::start(control_config, &ports, vault, until.child_token()).await;
        let control = control.context("the stored conversations cannot be read")?;
        gateway::run(gateway_config, &ports, control, listener, &until).await.map_err(anyhow::Error::from)
    });
    banner::print(bound, &settings);

    let served = gateway.await.context("the gateway has panicked");
    let supervised = supervisor.await.context("the supervisor has panicked");
    sweeping.await.context("the removal of old answers has panicked")?;
    // Nobody writes any more.
    store.close().await;
    served??;
    supervised??;
    Ok(())
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

fn secret_key(settings: &Settings) -> anyhow::Result<SecretString> {
    if let Some(key) = &settings.secret_key {
        return Ok(key.clone());
    }
    let path = settings.state_dir().join("secret_key");
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
    let (scratch, apps) = (state.join("scratch"), state.join("apps"));
    let max_concurrent_runs = settings.max_concurrent_runs;
    let bash_retention = settings.bash_events_retention;
    let (outbound, extensions) = (outbound.clone(), settings.extensions.clone());
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
