//! The settings of the cluster's roles, beside those of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use supervisor::drivers::docker::SharedVolume;

use super::pods::Pods;
use crate::settings::{Invalid, Source, count};

const DEFAULT_NATS: &str = "nats://127.0.0.1:4222";
/// Where a supervisor sees the volume of all sandboxes' files.
const SANDBOXES: &str = "/sandboxes";
const DEFAULT_IMAGE: &str = "manyhands-worker";

/// Where the cluster is, and how its sandboxes are.
pub struct Cluster {
    /// In the names of all instances: two clusters can share a host.
    pub name: String,
    /// What `init` made.
    pub keys_dir: Option<PathBuf>,
    pub nats_urls: Vec<String>,
    /// As workers reach it, where that is another address.
    pub worker_nats_urls: Vec<String>,
    pub nats_credentials_file: Option<PathBuf>,
    pub nats_ca_file: Option<PathBuf>,
    /// Of each stream, at least; `None`: as they are, and one of each that is made.
    pub nats_replicas: Option<u64>,
    /// The key that lets workers in; `None` on a server without authentication.
    pub minter_file: Option<PathBuf>,
    pub policy: control::placement::Policy,
    /// The directory, the same in every sandbox, whose directories are workspaces.
    pub workspaces_root: PathBuf,
    /// What a worker may take to start before a call that waits for it is given up.
    pub start_patience: Duration,
    pub tenant_budget_usd: Option<f64>,
    /// Bytes that the logs of a sandbox may hold; `None`: as many as there is room for.
    pub sandbox_storage: Option<u64>,
    /// Where `/metrics` and `/health` are shown to everybody who reaches it; `None`: nowhere.
    pub metrics_address: Option<SocketAddr>,
    pub sandboxes: Sandboxes,
}

/// What the supervisor is told.
pub struct Sandboxes {
    pub driver: Driver,
    pub image: String,
    /// A network containers are put into; `none` for none.
    pub network: String,
    /// The volume with the door's socket, mounted at `/door`.
    pub door: Option<String>,
    /// A volume for the files of all sandboxes; `None`: each has one of its own.
    pub files: Option<SharedVolume>,
    pub runtime: Option<String>,
    /// The worker's program as containers get it: a static build.
    pub worker_binary: PathBuf,
    pub docker_host: Option<String>,
    pub warm: usize,
    pub idle: Option<Duration>,
    pub limit: Option<usize>,
    pub limit_per_tenant: Option<usize>,
    pub memory_mib: Option<i64>,
    pub cpus: Option<f64>,
    pub processes: Option<i64>,
    /// Where sandboxes that are processes keep their files.
    pub process_root: PathBuf,
    pub pods: Pods,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Docker,
    Kubernetes,
    Process,
}

impl Cluster {
    /// As the part called `role` sees it: `OH_KEYS_DIR` is the folder that `init` made, of which each part
    /// reads its own.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn from_source(source: &Source, role: &str) -> Result<Self, Invalid> {
        let path = |field: &str| source.text(field).map(|text| text.map(PathBuf::from));
        let keys = path("keys_dir")?;
        let key = |role: &str, name: &str| keys.as_ref().map(|keys| keys.join(role).join(name));
        let nats_urls = urls(source, "nats_url")?.unwrap_or_else(|| vec![DEFAULT_NATS.to_owned()]);
        let worker_nats_urls = urls(source, "worker_nats_url")?.unwrap_or_else(|| nats_urls.clone());
        Ok(Self {
            name: source.text("cluster")?.unwrap_or_else(|| "default".to_owned()),
            keys_dir: keys.clone(),
            nats_urls,
            worker_nats_urls,
            nats_credentials_file: path("nats_credentials_file")?.or_else(|| key(role, "credentials.json")),
            nats_ca_file: path("nats_ca_file")?,
            nats_replicas: source.choice("nats_replicas")?.and_then(|replicas| replicas.parse().ok()),
            minter_file: path("nats_minter_file")?.or_else(|| key("supervisor", "minter.json")),
            policy: policy(source)?,
            workspaces_root: workspaces_root(path("workspaces_root")?)?,
            start_patience: seconds(source, "sandbox_start_seconds")?.unwrap_or(Duration::from_secs(60)),
            tenant_budget_usd: source.amount("tenant_budget_usd")?,
            sandbox_storage: match source.whole("sandbox_storage_mib")?.unwrap_or(4_096) {
                0 => None,
                mebibytes => Some(mebibytes << 20),
            },
            metrics_address: metrics_address(source)?,
            sandboxes: Sandboxes::from_source(source)?,
        })
    }

    /// PEM of the authority of NATS' certificates.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn authority(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.nats_ca_file else { return Ok(None) };
        std::fs::read_to_string(path).map(Some).with_context(|| format!("cannot read {}", path.display()))
    }
}

impl Sandboxes {
    fn from_source(source: &Source) -> Result<Self, Invalid> {
        let driver = match source.choice("sandbox_driver")? {
            Some("kubernetes") => Driver::Kubernetes,
            Some("process") => Driver::Process,
            _ => Driver::Docker,
        };
        Ok(Self {
            driver,
            image: source.text("conversation_image")?.unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
            network: source.text("sandbox_network")?.unwrap_or_else(|| "none".to_owned()),
            door: source.text("sandbox_door")?,
            files: source.text("sandbox_volume")?.map(|name| SharedVolume { name, path: SANDBOXES.into() }),
            runtime: source.text("sandbox_runtime")?,
            worker_binary: source
                .text("worker_binary")?
                .map_or_else(|| "/usr/local/bin/manyhands".into(), PathBuf::from),
            docker_host: source.variable("DOCKER_HOST").map(str::to_owned),
            warm: count(source.whole("warm_workers")?).unwrap_or(0),
            idle: match seconds(source, "sandbox_idle_seconds")? {
                None => Some(Duration::from_secs(15 * 60)),
                Some(Duration::ZERO) => None,
                other => other,
            },
            limit: count(source.whole("max_sandboxes")?),
            limit_per_tenant: count(source.whole("max_sandboxes_per_tenant")?),
            memory_mib: source.whole("sandbox_memory_mib")?.and_then(|mebibytes| mebibytes.try_into().ok()),
            cpus: source.amount("sandbox_cpus")?,
            processes: source.whole("sandbox_processes")?.and_then(|processes| processes.try_into().ok()),
            process_root: source
                .text("sandbox_root")?
                .map_or_else(|| "workspace/sandboxes".into(), PathBuf::from),
            pods: Pods::from_source(source, driver == Driver::Kubernetes)?,
        })
    }
}

fn urls(source: &Source, field: &str) -> Result<Option<Vec<String>>, Invalid> {
    let Some(text) = source.text(field)? else { return Ok(None) };
    let urls: Vec<_> =
        text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect();
    let is_nats = |url: &String| ["nats://", "tls://", "unix:///"].iter().any(|way| url.starts_with(way));
    if urls.is_empty() || !urls.iter().all(is_nats) {
        return Err(Invalid::new(
            field,
            "must be nats://host:port, tls://host:port or unix:///path, several parted by commas",
        ));
    }
    // Addresses are told in logs and by `doctor`.
    if urls.iter().any(|url| url.contains('@')) {
        let what = "must hold no user and no password: what signs in to NATS is in OH_NATS_CREDENTIALS_FILE";
        return Err(Invalid::new(field, what));
    }
    Ok(Some(urls))
}

fn workspaces_root(path: Option<PathBuf>) -> Result<PathBuf, Invalid> {
    let path = path.unwrap_or_else(|| "/workspace".into());
    if path.is_absolute() { Ok(path) } else { Err(Invalid::new("workspaces_root", "must be absolute")) }
}

fn metrics_address(source: &Source) -> Result<Option<SocketAddr>, Invalid> {
    let text = source.text("metrics_address")?;
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|_| Invalid::new("metrics_address", "must be address:port, such as 127.0.0.1:9464"))
}

fn seconds(source: &Source, field: &str) -> Result<Option<Duration>, Invalid> {
    Ok(source.whole(field)?.map(Duration::from_secs))
}

fn policy(source: &Source) -> Result<control::placement::Policy, Invalid> {
    use control::placement::Policy;
    Ok(match source.choice("sandbox_policy")? {
        Some("workspace") => Policy::Workspace,
        Some("conversation") => Policy::Conversation,
        _ => Policy::Shared,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(variables: &[(&str, &str)]) -> Result<Cluster, Invalid> {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Cluster::from_source(&Source::new(environment, serde_json::json!({})), "gateway")
    }

    #[test]
    fn workers_reach_nats_as_the_others_do_unless_told_otherwise() {
        let both = cluster(&[("OH_NATS_URL", "nats://a:1, nats://b:2")]).unwrap();
        assert_eq!(both.nats_urls, ["nats://a:1", "nats://b:2"]);
        assert_eq!(both.worker_nats_urls, both.nats_urls);
        let other = cluster(&[("OH_WORKER_NATS_URL", "nats://nats:4222")]).unwrap();
        assert_eq!(other.worker_nats_urls, ["nats://nats:4222"]);
        assert_eq!(other.nats_urls, [DEFAULT_NATS]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(cluster(&[("OH_NATS_URL", "http://a")]).is_err());
        let with_a_password = cluster(&[("OH_NATS_URL", "nats://a:1,nats://user:pass@b:2")]);
        let refused = with_a_password.err().expect("it would be in logs").to_string();
        assert!(refused.starts_with("OH_NATS_URL ") && !refused.contains("pass@"), "{refused}");
        assert!(cluster(&[("OH_SANDBOX_POLICY", "each")]).is_err());
        assert!(cluster(&[("OH_SANDBOX_DRIVER", "vm")]).is_err());
        assert!(cluster(&[("OH_METRICS_ADDRESS", "9464")]).is_err());
        assert!(cluster(&[("OH_WORKSPACES_ROOT", "workspace")]).is_err());
        assert!(cluster(&[("OH_CLUSTER", "two words")]).is_err());
        for limit in
            ["OH_SANDBOX_MEMORY_MIB", "OH_SANDBOX_CPUS", "OH_SANDBOX_PROCESSES", "OH_TENANT_BUDGET_USD"]
        {
            for value in ["0", "NaN", "-1"] {
                assert!(cluster(&[(limit, value)]).is_err(), "{limit}={value} would be no limit");
            }
        }
    }

    #[test]
    fn each_part_reads_its_own_keys() {
        let keys = cluster(&[("OH_KEYS_DIR", "/keys")]).unwrap();
        assert_eq!(
            keys.nats_credentials_file.unwrap(),
            std::path::Path::new("/keys/gateway/credentials.json")
        );
        assert_eq!(keys.minter_file.unwrap(), std::path::Path::new("/keys/supervisor/minter.json"));
    }

    #[test]
    fn no_idle_time_means_that_sandboxes_are_never_paused() {
        assert_eq!(cluster(&[("OH_SANDBOX_IDLE_SECONDS", "0")]).unwrap().sandboxes.idle, None);
    }
}
