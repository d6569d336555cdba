//! What gateway and control plane are told, and how they are started from it.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use control::placement::{Cluster, Policy};
use control::{Control, Mode, Tasks};
use manyhands_gateway::config::{Editor, Init, Limits, Site, ToolEntry};
use manyhands_gateway::{App, Config as Gateway, Error};
use outbound::Outbound;
use ports::Ports;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vault::{Keys, Vault};

/// The gateway's part is at hand, the other by its name.
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

/// Nothing listens here.
pub const NOBODY: &str = "http://127.0.0.1:9";

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
            plaintext_secrets: true,
            build_git_sha: "unknown".to_owned(),
            build_git_ref: "unknown".to_owned(),
            ..Site::default()
        },
        keys: Keys::new(&[]),
        secret_key: SecretString::from("the secret key"),
        workspace_path: "workspace/project".into(),
        tools: ["terminal", "file_editor", "task_tracker"].map(tool).into(),
        metrics: telemetry::metrics::Metrics::default(),
        // The workers of these tests have none.
        editor: Editor::Unreachable,
        init: Init::default(),
        limits: Limits::default(),
    };
    let control = control::Config {
        conversations_path: "workspace/conversations".into(),
        worktree_root: "/worktrees".into(),
        mode: Mode::Single,
        tenant_budget_usd: None,
        outbound: Outbound::default(),
        github_url: control::GITHUB.into(),
        openai: control::OpenAi { login_url: NOBODY.into(), models_url: NOBODY.into() },
        webhooks: Vec::new(),
        copies_left_after: control::conversations::COPIES_LEFT_AFTER,
        drain: gateway.limits.drain,
        metrics: gateway.metrics.work.clone(),
        calls: gateway.metrics.calls.clone(),
    };
    Config { gateway, control }
}

/// For a gateway of a cluster.
pub fn of_cluster(policy: Policy) -> Config {
    let mut config = config();
    let (root, patience) = ("/workspace".into(), Duration::from_secs(10));
    config.control.mode = Mode::Cluster(Cluster { policy, root, patience });
    config
}

/// The stores of a folder.
pub async fn open(folder: &Path) -> (Ports, embedded::Guard) {
    let options = embedded::Options::within(folder, embedded::Fsync::Interval);
    embedded::open(options).await.unwrap()
}

/// Why a server cannot start.
pub async fn start_failure(change: impl FnOnce(&mut Config)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _store) = open(folder.path()).await;
    let mut config = config();
    change(&mut config);
    prepare(config, &ports).await.err().expect("it started").to_string()
}

/// An app without a listener.
pub async fn app(folder: &Path) -> (App, embedded::Guard) {
    let (ports, store) = open(folder).await;
    (prepare(config(), &ports).await.unwrap(), store)
}

async fn prepare(config: Config, ports: &Ports) -> Result<App, Error> {
    let vault = vault_of(&config.gateway);
    let checked = manyhands_gateway::check(config.gateway)?;
    let control =
        start_control(vault, config.control, ports, &CancellationToken::new(), &Tasks::default()).await;
    Ok(manyhands_gateway::server::prepare(checked, ports, control))
}

pub(super) async fn serve(
    config: Config,
    ports: Ports,
    listener: TcpListener,
    stop: CancellationToken,
    desks: Tasks,
) -> Result<(), Error> {
    let vault = vault_of(&config.gateway);
    let checked = manyhands_gateway::check(config.gateway)?;
    let control = start_control(vault, config.control, &ports, &stop, &desks).await;
    let served = manyhands_gateway::run(checked, &ports, control, listener, &stop).await;
    desks.end().await;
    served
}

/// Of the gateway's secret key and of those before it.
fn vault_of(gateway: &Gateway) -> Arc<Vault> {
    Arc::new(Vault::new(&gateway.secret_key, &gateway.site.previous_secret_keys))
}

async fn start_control(
    vault: Arc<Vault>,
    config: control::Config,
    ports: &Ports,
    stop: &CancellationToken,
    desks: &Tasks,
) -> Control {
    Control::start(config, ports, vault, stop.child_token(), desks).await.unwrap()
}
