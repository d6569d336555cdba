//! What the parts of a cluster need, as seen from where this runs: each part has its own keys, and only the
//! supervisor has the container service.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use nats::{Connection, Error, Probe};
use ports::Ports;
use supervisor::StartError;
use supervisor::drivers::WorkerSettings;
use supervisor::drivers::docker::{Config, Containers, Engine};
use vault::Vault;

use super::Finding::{self, Broken, Doubtful, Fine};
use super::single;
use crate::cluster::settings::{Cluster, Driver, Sandboxes};
#[cfg(not(feature = "kubernetes"))]
use crate::cluster::supervisor::NO_PODS;
use crate::cluster::supervisor::{containers, worker};
use crate::cluster::{connect, gateway::take_keys};
use crate::serving;
use crate::settings::{Settings, Source};

/// For a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// For all that is stored.
const READING: Duration = Duration::from_secs(60);
/// A message that takes longer to be stored makes every event slow.
const SLOW_STORE: Duration = Duration::from_millis(20);
/// Tokens begin and end by the clock.
const LARGE_SKEW: Duration = Duration::from_secs(5);

type Findings = Vec<(&'static str, Finding)>;

pub async fn findings(settings: Settings, source: &Source) -> anyhow::Result<Findings> {
    let roles =
        ["gateway", "supervisor"].map(|role| Cluster::from_source(source, role).map(|own| (role, own)));
    let [gateway, supervisor] = roles;
    let (gateway, supervisor) = (gateway?, supervisor?);
    let is_gateway = is_there(&gateway.1);
    let is_supervisor = is_there(&supervisor.1);
    let mut findings = vec![("keys", keys(&gateway.1, is_gateway, is_supervisor))];
    if is_gateway {
        findings.push(("secrets", secrets(&settings, &gateway.1)));
    }
    if is_supervisor {
        findings.push(("minter", minter(&supervisor.1)));
    }
    let (role, cluster) = if is_supervisor && !is_gateway { &supervisor } else { &gateway };
    let worker = worker(&settings, &supervisor.1)?;
    let vault = is_gateway.then(|| vault(settings, &gateway.1)).flatten();
    let (of_nats, mark) = of_nats(cluster, role, vault).await;
    findings.extend(of_nats);
    if is_supervisor || !is_gateway {
        findings.extend(of_workers(&supervisor.1, worker, mark).await);
    }
    findings.push(("clock", single::clock()));
    Ok(findings)
}

fn is_there(cluster: &Cluster) -> bool {
    cluster.nats_credentials_file.as_deref().is_some_and(Path::exists)
}

fn keys(cluster: &Cluster, gateway: bool, supervisor: bool) -> Finding {
    let place = cluster.keys_dir.as_deref().map_or_else(|| "OH_KEYS_DIR".into(), Path::to_string_lossy);
    let place = place.as_ref();
    match (gateway, supervisor) {
        (false, false) if cluster.keys_dir.is_none() => Doubtful(
            "none: NATS must let everybody in, and sandboxes are not kept apart; `manyhands init` makes keys, \
             OH_KEYS_DIR says where they are"
                .to_owned(),
        ),
        (false, false) => Broken(format!(
            "{place} has no credentials that can be read; `manyhands init --dir {place}` makes them, once"
        )),
        (true, true) => Doubtful(format!(
            "{place} has those of gateway and supervisor: give each part its own only, see deploy/OPERATIONS.md"
        )),
        (true, false) => Fine(format!("{place} has those of a gateway")),
        (false, true) => Fine(format!("{place} has those of a supervisor")),
    }
}

fn secrets(settings: &Settings, cluster: &Cluster) -> Finding {
    let has = |name: &str| {
        let path = cluster.keys_dir.as_ref().map(|keys| keys.join("gateway").join(name));
        path.is_some_and(|path| std::fs::read(path).is_ok_and(|text| !text.is_empty()))
    };
    if settings.secret_key.is_none() && !has("secret_key") {
        return Broken(
            "no secret key: stored model keys cannot be opened; set OH_SECRET_KEY, the same for all gateways, \
             or bring back the file secret_key"
                .to_owned(),
        );
    }
    match !settings.is_open() || has("session_key") {
        true => Fine("a secret key, and session keys or bearer tokens".to_owned()),
        false => Doubtful(
            "no session key and no bearer tokens: only loopback is served; set OH_SESSION_API_KEYS_0"
                .to_owned(),
        ),
    }
}

/// What a gateway opens secrets with, where it has a key.
fn vault(mut settings: Settings, cluster: &Cluster) -> Option<Vault> {
    take_keys(&mut settings, cluster).ok()?;
    Some(serving::vault(settings.secret_key.as_ref()?, &settings))
}

/// Secrets that a gateway would not be able to open.
async fn sealed(ports: Ports, vault: Vault) -> Finding {
    let looking = control::unreadable_secrets(ports.kv, Arc::new(vault));
    match tokio::time::timeout(READING, looking).await {
        Ok(found) => single::judged(found, true, "no secret is stored that the keys do not open".to_owned()),
        Err(_) => Doubtful(format!(
            "what is stored could not be read in {READING:?}: whether keys open it is not known"
        )),
    }
}

fn minter(cluster: &Cluster) -> Finding {
    let Some(path) = &cluster.minter_file else {
        return Doubtful("none: workers sign in without credentials".to_owned());
    };
    match credentials::Minter::load(path) {
        Ok(_) => Fine(format!("{} signs workers in", path.display())),
        Err(error) => Broken(format!(
            "{}: {error}; no worker can be let in: bring it back from a copy, or make new keys",
            path.display()
        )),
    }
}

/// Also by which mark containers of the cluster are known.
async fn of_nats(cluster: &Cluster, role: &str, vault: Option<Vault>) -> (Findings, Option<String>) {
    let broken = |what| (vec![("nats", Broken(what))], None);
    let connection = match tokio::time::timeout(PATIENCE, connect(cluster, role)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return broken(format!("{error:#}; {}", advice(&error))),
        Err(_) => {
            let urls = cluster.nats_urls.join(", ");
            return broken(format!("nothing answers at {urls}; start it, or set OH_NATS_URL"));
        }
    };
    let mut findings = vec![("nats", Fine(format!("nats-server {}", connection.server_version())))];
    match connection.control().await {
        Ok(ports) => {
            findings.push(("storage", Fine("JetStream holds the cluster's streams".to_owned())));
            if let Some(vault) = vault {
                findings.push(("sealed", sealed(ports, vault).await));
            }
            findings.extend(probed(&connection).await);
        }
        Err(Error::NotSetUp) => {
            findings.push(("storage", Doubtful("not set up yet: the first gateway does it".to_owned())));
        }
        Err(error) => {
            let text = format!("{error}; deploy/nats.conf shows what JetStream needs");
            findings.push(("storage", Broken(text)));
        }
    }
    let mark = connection.mark().await.ok();
    connection.drain().await;
    (findings, mark)
}

fn advice(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref::<Error>() {
        Some(Error::Unreachable { .. }) => "start it, or set OH_NATS_URL",
        Some(Error::Refused { .. }) => {
            "the keys are of another cluster or have run out: NATS must include the auth.conf that `init` made with them"
        }
        Some(Error::Untrusted { .. }) => "OH_NATS_CA_FILE must name the authority of its certificate",
        Some(Error::TooOld { .. }) => "compose.yaml names one that is new enough",
        _ => "see deploy/OPERATIONS.md",
    }
}

async fn probed(connection: &Connection) -> Findings {
    // The first one may pay for what is not cached yet.
    let _ = connection.probe().await;
    let Probe { took, server_unix_ms } = match connection.probe().await {
        Ok(probe) => probe,
        Err(error) => {
            return vec![("sync", Broken(format!("a message cannot be stored: {error}; is the disk full?")))];
        }
    };
    let sync = match took > SLOW_STORE {
        true => {
            Doubtful(format!("a message is stored in {took:.1?}: events are slow; NATS needs a faster disk"))
        }
        false => Fine(format!(
            "a message is stored in {took:.1?}; `sync_interval: always` makes that mean on the disk"
        )),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let skew = now.abs_diff(Duration::from_millis(server_unix_ms));
    let skew = match skew > LARGE_SKEW {
        true => {
            Broken(format!("the clocks here and of NATS are {skew:.0?} apart: tokens are refused; run NTP"))
        }
        false => Fine(format!("the clocks here and of NATS are within {skew:.1?}")),
    };
    vec![("sync", sync), ("skew", skew)]
}

/// The container service, and what containers are made of.
async fn of_workers(cluster: &Cluster, worker: WorkerSettings, mark: Option<String>) -> Findings {
    let sandboxes = &cluster.sandboxes;
    if sandboxes.driver == Driver::Kubernetes {
        #[cfg(feature = "kubernetes")]
        return super::pods::findings(cluster, worker, mark).await;
        #[cfg(not(feature = "kubernetes"))]
        return vec![("api", Broken(NO_PODS.to_owned()))];
    }
    if sandboxes.driver == Driver::Process {
        let root = &sandboxes.process_root;
        let tried = single::trial(root).with_context(|| root.display().to_string());
        let disk = match tried {
            Ok(_) => single::free_space(root),
            Err(error) => Broken(format!("{error:#}; set OH_SANDBOX_ROOT")),
        };
        let text =
            "sandboxes are processes of this user: nothing keeps them apart; for tests only".to_owned();
        return vec![("workers", Doubtful(text)), ("disk", disk)];
    }
    let binary = match std::fs::metadata(&sandboxes.worker_binary) {
        Ok(_) => Fine(format!("{} is the workers' program", sandboxes.worker_binary.display())),
        Err(error) => Broken(format!(
            "{}: {error}; OH_WORKER_BINARY must name a static build",
            sandboxes.worker_binary.display()
        )),
    };
    let mut findings = vec![("program", binary)];
    match Containers::connect(Config { mark, ..containers(cluster, worker) }).await {
        Ok(engine) => findings.extend(of_engine(&engine, sandboxes).await),
        Err(error) => findings.push(("docker", Broken(format!("{error}; start it, or set DOCKER_HOST")))),
    }
    findings
}

async fn of_engine(containers: &Containers, sandboxes: &Sandboxes) -> Findings {
    let engine = match containers.engine().await {
        Ok(engine) => engine,
        Err(error) => return vec![("docker", Broken(error.to_string()))],
    };
    let image = &sandboxes.image;
    let mut findings = peculiar(&engine, sandboxes.runtime.as_deref());
    findings.insert(0, ("docker", Fine(format!("engine {}", engine.version))));
    match containers.has_image().await {
        Ok(true) => {
            findings.push(("image", Fine(format!("{image} is there"))));
            findings.push(("sandbox", tried(containers.try_out().await, sandboxes)));
        }
        Ok(false) => {
            let text = format!("{image} is not there: build or pull it, or set OH_CONVERSATION_IMAGE");
            findings.push(("image", Broken(text)));
        }
        Err(error) => findings.push(("image", Broken(error.to_string()))),
    }
    findings
}

/// What an engine does otherwise than most.
fn peculiar(engine: &Engine, runtime: Option<&str>) -> Findings {
    let mut findings = Vec::new();
    if engine.remaps_users {
        let text = "the engine gives containers other users (`userns-remap`): neither the door nor a sandbox can work, as \
                    both need files of root's; use an engine without it, or a runtime such as `runsc` to the same end";
        findings.push(("users", Broken(text.to_owned())));
    }
    if engine.is_rootless {
        let text = "the engine is not root's: DOCKER_HOST (in compose: DOCKER_SOCKET) must name its socket";
        findings.push(("rootless", Doubtful(text.to_owned())));
    }
    if !engine.lacks.is_empty() {
        let text = format!(
            "the engine can limit no {} here: give it those controllers of the control groups, or sandboxes do not start",
            engine.lacks.join(", no ")
        );
        findings.push(("limits", Broken(text)));
    }
    if let Some(runtime) = runtime.filter(|runtime| !engine.runtimes.iter().any(|known| known == runtime)) {
        let text = format!(
            "the engine has no runtime {runtime:?}, only {}: register it, or set OH_SANDBOX_RUNTIME",
            engine.runtimes.join(", ")
        );
        findings.push(("runtime", Broken(text)));
    }
    findings
}

/// What became of a container like a sandbox's.
fn tried(outcome: Result<(), StartError>, sandboxes: &Sandboxes) -> Finding {
    let Err(error) = outcome else {
        return Fine("one was started: it has bash, keeps files and reaches NATS".to_owned());
    };
    let advice = match (&sandboxes.runtime, &sandboxes.door) {
        (Some(runtime), Some(_)) if !matches!(error, StartError::ImageMissing(_)) => {
            format!(
                "; the runtime {runtime:?} must let containers use sockets of the host: gVisor's `runsc` does with \
                 `--host-uds=open`, and virtual machines (kata) do not"
            )
        }
        _ => String::new(),
    };
    Broken(format!("{error}{advice}"))
}
