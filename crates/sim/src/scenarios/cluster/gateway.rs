//! One gateway: the real one with its control plane, and a desk in the place of its listener.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::placement::{Cluster, Policy};
use control::{Control, Mode, OpenAi, Tasks};
use futures_util::StreamExt;
use gateway::config::{Editor, Init, Limits, Site, ToolEntry};
use gateway::edge::Edge;
use outbound::Outbound;
use parking_lot::Mutex;
use ports::{Delivery, Expect, Message, Parcel, Ports};
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::buckets::{DEPUTIES_KEY, LEASES, SERVING_EVERY};
use vault::{Keys, Vault};

use super::api::{Answer, Call, DESK, bearer};
use crate::world::{Here, NodeId};

/// A gateway has heard by then of what others have stored.
const HEARD_OF: Duration = Duration::from_secs(1);

const SECRET_KEY: &str = "the secret key of all gateways";

/// What is said where no failure of a worker is the reason.
const OTHER_WORDS: [&str; 3] =
    ["Nobody is there", "The sandbox is still starting", "The server cannot do this now"];

/// Who waits at the desks, and since when. Cheap to clone.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Desks>>);

#[derive(Default)]
struct Desks {
    waiting: BTreeMap<u64, (NodeId, Duration, String)>,
    last: u64,
    broken: Vec<String>,
}

impl Waiting {
    fn begin(&self, here: &Here, call: &Call) -> u64 {
        let mut desks = self.0.lock();
        desks.last += 1;
        let number = desks.last;
        desks.waiting.insert(number, (here.node, here.world.now(), format!("{call:?}")));
        number
    }

    fn end(&self, here: &Here, number: u64, answer: Option<&Answer>) {
        let Some((node, since, call)) = self.0.lock().waiting.remove(&number) else { return };
        let Some(answer) = answer.filter(|answer| is_about_start(answer)) else { return };
        let heard = since.saturating_sub(HEARD_OF);
        if !here.world.is_innocent(node, heard) {
            return;
        }
        if !here.world.stored(|store| store.has_failed_since(heard)) {
            let now = here.world.now();
            let text = format!("told at {now:?} of a failure from before {since:?}, {answer:?}: {call}");
            self.0.lock().broken.push(text);
        }
    }

    /// What was answered and was not true.
    pub fn broken(&self) -> Vec<String> {
        self.0.lock().broken.clone()
    }

    /// Those who wait for longer than anybody should, of gateways that are there.
    pub fn since(&self, before: Duration, is_there: impl Fn(NodeId) -> bool) -> Vec<String> {
        let desks = self.0.lock();
        let long = desks.waiting.values().filter(|(node, since, _)| *since < before && is_there(*node));
        long.map(|(_, since, call)| format!("nobody has answered since {since:?}: {call}")).collect()
    }
}

/// Whether it says why there is no worker.
fn is_about_start(answer: &Answer) -> bool {
    let is_absence = answer.status == 503 && answer.is_soon_worth_another_try;
    is_absence && !OTHER_WORDS.iter().any(|words| answer.detail().starts_with(words))
}

/// A gateway, until its end.
pub async fn work(here: Here, folder: PathBuf, policy: Policy, waiting: Waiting) {
    let drain = CancellationToken::new();
    let Ok(edge) = open(&here.ports, folder, policy, &drain).await.inspect_err(|error| {
        tracing::info!(%error, "the gateway does not start");
    }) else {
        return;
    };
    let here = Arc::new(here);
    let Ok(mut desk) = here.ports.bus.subscribe(DESK, Some("gateways")).await else { return };
    let said = keep_saying_that_workers_are_served(&here.ports);
    tokio::pin!(said);
    loop {
        let delivery = tokio::select! {
            delivery = desk.next() => delivery,
            () = &mut said => return,
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
) -> Result<Edge, Box<dyn std::error::Error + Send + Sync>> {
    let metrics = Metrics::default();
    let checked = gateway::check(config(folder.join("workspace"), &metrics))?;
    let vault = Arc::new(Vault::new(&SecretString::from(SECRET_KEY), &[]));
    let config = of_control(folder, policy, &metrics);
    let control = Control::start(config, ports, vault, drain.clone(), &Tasks::default()).await?;
    Ok(Edge::new(&gateway::server::prepare(checked, ports, control)))
}

/// As the service does that stores for workers, which have a store of their own here. Never returns.
async fn keep_saying_that_workers_are_served(ports: &Ports) {
    loop {
        tokio::time::sleep(SERVING_EVERY).await;
        let note = Bytes::from_static(b"{}");
        // Who asks for it does not reach the store either, or hears of it the next time.
        let _ = ports.kv.put(LEASES, DEPUTIES_KEY, note, Expect::Anything).await;
    }
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
        drain: Duration::from_secs(5),
        metrics: metrics.work.clone(),
        calls: metrics.calls.clone(),
    }
}
