//! `manyhands serve`: gateway, supervisor and worker in one process, on files and channels.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use tokio::net::{TcpListener, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::SandboxId;
use vault::Vault;

use crate::in_process::InProcess;
use crate::settings::Settings;
use crate::{banner, observe};

/// What the worker gets to begin to answer. Later than that, requests are told that it does not.
const STARTING: Duration = Duration::from_secs(10);

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(options, settings));
    // A thread may wait for a file for ever. What was acknowledged is on the disk.
    runtime.shutdown_timeout(LEFTOVERS);
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(options: Options, settings: Settings) -> anyhow::Result<()> {
    let address = address(&options, &settings).await?;
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
    let vault = Arc::new(vault(&secret_key, &settings));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr()?;

    let worker_answers = CancellationToken::new();
    let metrics = Metrics::default();
    let driver = Arc::new(in_process(&ports, &settings, &metrics, worker_answers.clone())?);
    let sandboxes = supervisor::Config { always: vec![SandboxId::shared()] };
    let supervising = supervisor::run(sandboxes, ports.clone(), driver, stop.clone());
    let gateway_config = gateway_config(secret_key, &settings, metrics)?;
    let supervisor = spawn_part(&stop, supervising);
    tokio::select! {
        () = worker_answers.cancelled() => {}
        () = stop.cancelled() => {}
        () = tokio::time::sleep(STARTING) => tracing::warn!("the worker does not answer yet"),
    }
    let gateway = spawn_part(&stop, gateway::run(gateway_config, ports, vault, listener, stop.clone()));
    banner::print(bound, &settings);

    let served = gateway.await.context("the gateway has panicked");
    let supervised = supervisor.await.context("the supervisor has panicked");
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

/// Loopback unless there are keys, or the operator insists.
pub async fn address(options: &Options, settings: &Settings) -> anyhow::Result<SocketAddr> {
    let open = settings.session_api_keys.is_empty();
    let host = options.host.as_deref().unwrap_or(if open { "127.0.0.1" } else { "0.0.0.0" });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match bare.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => {
            let mut found =
                lookup_host((bare, 0)).await.with_context(|| format!("cannot resolve the host {host}"))?;
            found.next().with_context(|| format!("the host {host} has no address"))?.ip()
        }
    };
    ensure!(
        !open || ip.is_loopback() || options.allow_open_server,
        "refusing to listen on {host} without a session key: everyone who reaches it could run commands here. \
         Set OH_SESSION_API_KEYS_0, or pass --allow-open-server if something else guards the port."
    );
    Ok(SocketAddr::new(ip, options.port))
}

fn secret_key(settings: &Settings) -> anyhow::Result<SecretString> {
    if let Some(key) = &settings.secret_key {
        return Ok(key.clone());
    }
    let path = settings.state_dir().join("secret_key");
    vault::machine_key(&path).with_context(|| format!("cannot read or make the key file {}", path.display()))
}

fn vault(current: &SecretString, settings: &Settings) -> Vault {
    // The peer seals with the session key when it has no other: its data stays readable.
    let previous: Vec<SecretString> =
        settings.previous_secret_keys.iter().chain(&settings.session_api_keys).cloned().collect();
    Vault::new(current, &previous)
}

fn in_process(
    ports: &ports::Ports,
    settings: &Settings,
    metrics: &Metrics,
    answers: CancellationToken,
) -> anyhow::Result<InProcess> {
    let models = llm::Client::new(Arc::new(llm::Direct::new()));
    let observations_root = std::path::absolute(&settings.conversations_path)?;
    let project_dir = std::path::absolute(&settings.workspace_path)?;
    let max_concurrent_runs = settings.max_concurrent_runs;
    let bash_retention = settings.bash_events_retention;
    let work = metrics.work.clone();
    Ok(InProcess::new(ports.clone(), models, move |unit| worker::Config {
        max_concurrent_runs,
        bash_retention,
        answers: answers.clone(),
        work: work.clone(),
        ..worker::Config::new(
            unit.sandbox.clone(),
            unit.epoch,
            observations_root.clone(),
            project_dir.clone(),
        )
    }))
}

fn gateway_config(
    secret_key: SecretString,
    settings: &Settings,
    metrics: Metrics,
) -> anyhow::Result<gateway::Config> {
    Ok(gateway::Config {
        keys: vault::Keys::new(&settings.session_api_keys),
        secret_key,
        allow_cors_origins: settings.allow_cors_origins.clone(),
        allow_cors_origin_regex: settings.allow_cors_origin_regex.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        docker_host: settings.docker_host.clone(),
        trust_forwarded_headers: settings.trust_forwarded_headers,
        root_path: settings.root_path.clone(),
        conversations_path: settings.conversations_path.clone(),
        workspace_path: std::path::absolute(&settings.workspace_path)?,
        tools: crate::catalogue::tools(),
        runtime_idle_timeout_seconds: settings.runtime_idle_timeout,
        build_git_sha: settings.build_git_sha.clone(),
        build_git_ref: settings.build_git_ref.clone(),
        limits: gateway::config::Limits::default(),
        metrics,
    })
}

/// Cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        for again in [false, true] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if again {
                std::process::exit(1);
            }
            tracing::info!(signal = name, "stopping");
            token.cancel();
        }
    });
    Ok(stop)
}
