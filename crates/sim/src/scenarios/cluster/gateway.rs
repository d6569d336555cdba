//! One gateway: the real one with its control plane, and a desk in the place of its listener.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::placement::{Cluster, Policy};
use control::{Control, Mode, OpenAi, Tasks};
use futures_util::StreamExt;
use gateway::config::{Editor, Init, Limits, Site, ToolEntry};
use gateway::edge::Edge;
use outbound::Outbound;
use parking_lot::Mutex;
use ports::{Delivery, Message, Parcel, Ports};
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::TenantId;
use vault::{Keys, Vault};

use super::api::{Answer, Call, DESK, bearer};
use super::deputy::{self, Accounts};
use super::engine::Engine;
use crate::world::{Here, NodeId};

/// A gateway has heard by then of what others have stored.
const HEARD_OF: Duration = Duration::from_secs(1);

const SECRET_KEY: &str = "the secret key of all gateways";

/// What is said where no failure of a worker is the reason.
const OTHER_WORDS: [&str; 3] =
    ["Nobody is there", "The sandbox is still starting", "The server cannot do this now"];

/// Who waits at the desks, and since when. Cheap to clone.
#[derive(Clone)]
pub struct Waiting {
    engine: Engine,
    desks: Arc<Mutex<Desks>>,
}

#[derive(Default)]
struct Desks {
    waiting: BTreeMap<u64, One>,
    last: u64,
    broken: Vec<String>,
}

/// One who waits.
struct One {
    at: NodeId,
    since: Duration,
    tenant: TenantId,
    call: String,
}

impl Waiting {
    pub fn new(engine: Engine) -> Self {
        Self { engine, desks: Arc::default() }
    }

    fn begin(&self, here: &Here, call: &Call) -> u64 {
        let mut desks = self.desks.lock();
        desks.last += 1;
        let number = desks.last;
        let (at, since, tenant) = (here.node, here.world.now(), call.tenant.clone());
        desks.waiting.insert(number, One { at, since, tenant, call: format!("{call:?}") });
        number
    }

    fn end(&self, here: &Here, number: u64, answer: Option<&Answer>) {
        let Some(One { at, since, tenant, call }) = self.desks.lock().waiting.remove(&number) else { return };
        let Some(answer) = answer.filter(|answer| is_about_start(answer)) else { return };
        let heard = since.saturating_sub(HEARD_OF);
        if self.engine.has_lied_to(&tenant) || !here.world.is_innocent(at, heard) {
            return;
        }
        if !here.world.stored(|store| store.has_failed_since(heard)) {
            let now = here.world.now();
            let text = format!("told at {now:?} of a failure from before {since:?}, {answer:?}: {call}");
            self.desks.lock().broken.push(text);
        }
    }

    /// What was answered and was not true.
    pub fn broken(&self) -> Vec<String> {
        self.desks.lock().broken.clone()
    }

    /// Those who wait for longer than anybody should, of gateways that are there.
    pub fn since(&self, before: Duration, is_there: impl Fn(NodeId) -> bool) -> Vec<String> {
        let desks = self.desks.lock();
        let long = desks.waiting.values().filter(|one| one.since < before && is_there(one.at));
        long.map(|one| format!("nobody has answered since {:?}: {}", one.since, one.call)).collect()
    }
}

/// Whether it says why there is no worker.
fn is_about_start(answer: &Answer) -> bool {
    let is_absence = answer.status == 503 && answer.is_soon_worth_another_try;
    is_absence && !OTHER_WORDS.iter().any(|words| answer.detail().starts_with(words))
}

/// A gateway, until its end.
pub async fn work(here: Here, folder: PathBuf, policy: Policy, waiting: Waiting, accounts: Accounts) {
    let drain = CancellationToken::new();
    let desks = Tasks::default();
    let ports = deputy::begin(&here, &accounts, desks.drain.clone());
    let Ok(edge) = open(&ports, folder, policy, &drain, &desks).await.inspect_err(|error| {
        tracing::info!(%error, "the gateway does not start");
    }) else {
        return;
    };
    let here = Arc::new(here);
    let Ok(mut desk) = here.ports.bus.subscribe(DESK, Some("gateways")).await else { return };
    loop {
        let delivery = tokio::select! {
            delivery = desk.next() => delivery,
            () = drain.cancelled() => return tracing::error!("the gateway ends by itself"),
        };
        let Some(delivery) = delivery else { return };
        let Delivery::Message(Message { parcel, reply: Some(reply), .. }) = delivery else { continue };
        let Ok(call) = serde_json::from_slice::<Call>(&parcel.json) else { continue };
        let (here, edge, waiting) = (here.clone(), edge.clone(), waiting.clone());
        tokio::spawn(async move {
            let number = waiting.begin(&here, &call);
            let answer = call.answered_by(&edge).await;
            waiting.end(&here, number, answer.as_ref());
            let json = serde_json::to_vec(&answer).unwrap_or_default();
            // Whoever asked may be gone.
            let _ = here.ports.bus.publish(&reply, Parcel::json(json)).await;
        });
    }
}

async fn open(
    ports: &Ports,
    folder: PathBuf,
    policy: Policy,
    drain: &CancellationToken,
    desks: &Tasks,
) -> Result<Edge, Box<dyn std::error::Error + Send + Sync>> {
    let metrics = Metrics::default();
    let checked = gateway::check(config(folder.join("workspace"), &metrics))?;
    let vault = Arc::new(Vault::new(&SecretString::from(SECRET_KEY), &[]));
    let config = of_control(folder, policy, &metrics);
    let control = Control::start(config, ports, vault, drain.clone(), desks).await?;
    Ok(Edge::new(&gateway::server::prepare(checked, ports, control)))
}

fn config(workspace_path: PathBuf, metrics: &Metrics) -> gateway::Config {
    let tool = ToolEntry {
        name: "deed".to_owned(),
        user_selectable: true,
        usable: Some(true),
        description: None,
        in_default_set: true,
    };
    gateway::Config {
        site: Site { bearer: Some(bearer()), ..Site::default() },
        keys: Keys::new(&[]),
        secret_key: SecretString::from(SECRET_KEY),
        workspace_path,
        tools: vec![tool],
        editor: Editor::Disabled,
        init: Init::default(),
        limits: Limits::default(),
        metrics: metrics.clone(),
    }
}

fn of_control(folder: PathBuf, policy: Policy, metrics: &Metrics) -> control::Config {
    const NOBODY: &str = "http://127.0.0.1:9";
    let root = folder.join("workspace");
    control::Config {
        conversations_path: root.join(".manyhands/conversations"),
        worktree_root: root.join(".trees"),
        mode: Mode::Cluster(Cluster { policy, root, patience: Duration::from_secs(60) }),
        tenant_budget_usd: None,
        outbound: Outbound::default(),
        github_url: NOBODY.into(),
        openai: OpenAi { login_url: NOBODY.into(), models_url: NOBODY.into() },
        webhooks: Vec::new(),
        copies_left_after: control::conversations::COPIES_LEFT_AFTER,
        drain: Duration::from_secs(5),
        metrics: metrics.work.clone(),
        calls: metrics.calls.clone(),
    }
}
