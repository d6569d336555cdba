//! A gateway on a loopback port, on real stores in a folder of its own.

use std::path::Path;
use std::sync::Arc;

use manyhands_gateway::Config;
use manyhands_gateway::config::{Limits, Placement, ToolEntry};
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
    task: JoinHandle<Result<(), manyhands_gateway::Error>>,
}

impl Running {
    /// On the ports that [`open`] gave for the folder.
    pub async fn start(folder: TempDir, ports: Ports, store: embedded::Guard, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let task = tokio::spawn(manyhands_gateway::run(config, ports, vault(), listener, stop.clone()));
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
        tokio::spawn(manyhands_gateway::run(config, ports, vault(), listener, stop.clone()));
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

/// Without keys.
pub fn config() -> Config {
    let tool = |name: &str| ToolEntry {
        name: name.to_owned(),
        user_selectable: true,
        usable: Some(true),
        description: None,
        in_default_set: true,
    };
    Config {
        keys: Keys::new(&[]),
        bearer: None,
        secret_key: SecretString::from("the secret key"),
        previous_secret_keys: Vec::new(),
        allow_cors_origins: vec!["https://app.example".to_owned()],
        allow_cors_origin_regex: None,
        allowed_hosts: vec!["known.example".to_owned()],
        docker_host: None,
        trust_forwarded_headers: false,
        root_path: String::new(),
        conversations_path: "workspace/conversations".into(),
        workspace_path: "workspace/project".into(),
        tools: ["terminal", "file_editor", "task_tracker"].map(tool).into(),
        runtime_idle_timeout_seconds: None,
        build_git_sha: "unknown".to_owned(),
        build_git_ref: "unknown".to_owned(),
        metrics: telemetry::metrics::Metrics::default(),
        limits: Limits::default(),
        placement: Placement::Single,
        tenant_budget_usd: None,
    }
}
