//! A gateway on a loopback port, on real stores in a folder of its own.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use control::{Control, Mode};
use manyhands_gateway::config::{Limits, Site, ToolEntry};
use manyhands_gateway::{App, Config as Gateway, Error};
use ports::Ports;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use vault::{Keys, Vault};

pub struct Running {
    pub address: String,
    pub folder: TempDir,
    store: embedded::Guard,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// On the ports that [`open`] gave for the folder.
    pub async fn start(folder: TempDir, ports: Ports, store: embedded::Guard, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(config, ports, listener, stop.clone()));
        Self { address, folder, store, stop, task }
    }

    /// Stops the gateway as a signal would.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the gateway and the store; answers the folder with what they stored.
    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(testing::PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        self.store.close().await;
        self.folder
    }
}

/// One more gateway on ports that others use too.
pub struct Replica {
    pub address: String,
    _stop: DropGuard,
}

impl Replica {
    pub async fn start(ports: Ports, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        tokio::spawn(serve(config, ports, listener, stop.clone()));
        Self { address, _stop: stop.drop_guard() }
    }
}

pub async fn open(folder: &Path) -> (Ports, embedded::Guard) {
    let options = embedded::Options::within(folder, embedded::Fsync::Interval);
    embedded::open(options).await.unwrap()
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

pub fn vault() -> Arc<Vault> {
    Arc::new(Vault::new(&SecretString::from("the secret key"), &[]))
}

/// What gateway and control plane are told.
pub struct Config {
    pub gateway: Gateway,
    pub control: control::Config,
}

impl Deref for Config {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

impl DerefMut for Config {
    fn deref_mut(&mut self) -> &mut Gateway {
        &mut self.gateway
    }
}

/// A gateway that does not listen.
pub async fn prepare(config: Config, ports: &Ports) -> Result<App, Error> {
    let control = start_control(config.control, ports, &CancellationToken::new()).await;
    manyhands_gateway::server::prepare(config.gateway, ports, control)
}

pub async fn serve(
    config: Config,
    ports: Ports,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), Error> {
    let control = start_control(config.control, &ports, &stop).await;
    manyhands_gateway::run(config.gateway, &ports, control, listener, &stop).await
}

async fn start_control(config: control::Config, ports: &Ports, stop: &CancellationToken) -> Control {
    Control::start(config, ports, vault(), stop.child_token()).await.unwrap()
}

/// Without keys.
pub fn config() -> Config {
    let tool = |name: &str| ToolEntry {
        name: name.to_owned(),
        user_selectable: true,
        usable: Some(true),
        description: None,
        in_default_set: true,
    };
    let gateway = Gateway {
        site: Site {
            allow_cors_origins: vec!["https://app.example".to_owned()],
            allowed_hosts: vec!["known.example".to_owned()],
            build_git_sha: "unknown".to_owned(),
            build_git_ref: "unknown".to_owned(),
            ..Site::default()
        },
        keys: Keys::new(&[]),
        secret_key: SecretString::from("the secret key"),
        workspace_path: "workspace/project".into(),
        tools: ["terminal", "file_editor", "task_tracker"].map(tool).into(),
        metrics: telemetry::metrics::Metrics::default(),
        limits: Limits::default(),
    };
    let control = control::Config {
        conversations_path: "workspace/conversations".into(),
        mode: Mode::Single,
        tenant_budget_usd: None,
        drain: gateway.limits.drain,
        metrics: gateway.metrics.work.clone(),
        calls: gateway.metrics.calls.clone(),
    };
    Config { gateway, control }
}
