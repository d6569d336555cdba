//! One gateway: the real control plane, and a desk in the place of HTTP at which clients ask it for something.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::conversations::{Conversations, CreateOutcome, Said};
use control::placement::{Cluster, Policy};
use control::{Control, Mode, OpenAi, Tasks};
use futures_util::StreamExt;
use outbound::Outbound;
use parking_lot::Mutex;
use ports::rpc::{Code, Fault};
use ports::{Delivery, Expect, Message, Parcel, Ports};
use readmodel::index::ConversationState;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::buckets::{DEPUTIES_KEY, LEASES, SERVING_EVERY};
use types::calls::{Command, Once};
use types::conversation::{ConversationRecord, Status};
use types::{ConversationId, Message as Words, Role, TenantId};
use vault::Vault;

use crate::world::{Here, NodeId};

/// Where clients ask; of all gateways one answers.
pub const DESK: &str = "front.desk";

/// A gateway has heard by then of what others have stored.
const HEARD_OF: Duration = Duration::from_secs(1);

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Wish {
    Create { id: ConversationId, tenant: TenantId, folder: String, text: Option<String> },
    Say { id: ConversationId, tenant: TenantId, text: String, run: bool, once: Option<Once> },
    Run { id: ConversationId, tenant: TenantId },
    Pause { id: ConversationId, tenant: TenantId },
    Interrupt { id: ConversationId, tenant: TenantId },
    Delete { id: ConversationId, tenant: TenantId },
    Look { id: ConversationId, tenant: TenantId },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    Done,
    /// It is there already.
    Existing,
    Status(Status),
    Refused(Code, String),
}

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
    fn begin(&self, here: &Here, wish: &Wish) -> u64 {
        let mut desks = self.0.lock();
        desks.last += 1;
        let number = desks.last;
        desks.waiting.insert(number, (here.node, here.world.now(), format!("{wish:?}")));
        number
    }

    fn end(&self, here: &Here, number: u64, fault: Option<&Fault>) {
        let Some((node, since, wish)) = self.0.lock().waiting.remove(&number) else { return };
        let is_about_start = fault.is_some_and(|fault| fault.code == Code::Absent && fault.reason.is_none());
        if !is_about_start || !here.world.is_innocent(node, since.saturating_sub(HEARD_OF)) {
            return;
        }
        let heard = since.saturating_sub(HEARD_OF);
        if !here.world.stored(|store| store.has_failed_since(heard)) {
            let text = format!(
                "told at {:?} of a failure from before {since:?}, {fault:?}: {wish}",
                here.world.now()
            );
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
        long.map(|(_, since, wish)| format!("nobody has answered since {since:?}: {wish}")).collect()
    }
}

/// A gateway, until its end.
pub async fn work(here: Here, folder: PathBuf, policy: Policy, waiting: Waiting) {
    let drain = CancellationToken::new();
    let vault = Arc::new(Vault::new(&SecretString::from("the secret key of all gateways"), &[]));
    let (config, desks) = (config(folder, policy), Tasks::default());
    let control = match Control::start(config, &here.ports, vault, drain.clone(), &desks).await {
        Ok(control) => control,
        Err(error) => return tracing::info!(%error, "the gateway does not start"),
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
        let Ok(wish) = serde_json::from_slice::<Wish>(&parcel.json) else { continue };
        let (here, control, waiting) = (here.clone(), control.clone(), waiting.clone());
        tokio::spawn(async move {
            let number = waiting.begin(&here, &wish);
            let outcome = fulfil(&control, wish).await;
            waiting.end(&here, number, outcome.as_ref().err());
            let told = outcome.unwrap_or_else(|fault| Told::Refused(fault.code, fault.to_string()));
            answer(&here.ports, &reply, &told).await;
        });
    }
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

async fn answer(ports: &Ports, reply: &str, told: &Told) {
    if let Ok(json) = serde_json::to_vec(told) {
        // Whoever asked may be gone.
        let _ = ports.bus.publish(reply, Parcel::json(json)).await;
    }
}

async fn fulfil(control: &Control, wish: Wish) -> Result<Told, Fault> {
    let conversations = &control.conversations;
    match wish {
        Wish::Create { id, tenant, folder, text } => {
            if let Some(entry) = conversations.made_before(&tenant, id).await? {
                conversations.complete(&entry).await?;
                return Ok(Told::Existing);
            }
            match conversations.create(record(id, tenant, &folder, text)?, false, true).await? {
                CreateOutcome::New(_) => Ok(Told::Done),
                CreateOutcome::Existing(_) => Ok(Told::Existing),
                CreateOutcome::Taken => Err(Fault::new(Code::Conflict, "taken")),
            }
        }
        Wish::Say { id, tenant, text, run, once } => {
            let entry = find(conversations, &tenant, id).await?;
            match conversations.say(&entry, Words::new(Role::User, text), None, run, once).await? {
                Said::Done | Said::WithoutRun => Ok(Told::Done),
            }
        }
        Wish::Run { id, tenant } => {
            conversations.run(&find(conversations, &tenant, id).await?).await?;
            Ok(Told::Done)
        }
        Wish::Pause { id, tenant } => {
            conversations.stop(&find(conversations, &tenant, id).await?, Command::Pause {}).await?;
            conversations.rest(id);
            Ok(Told::Done)
        }
        Wish::Interrupt { id, tenant } => {
            conversations.stop(&find(conversations, &tenant, id).await?, Command::Interrupt {}).await?;
            Ok(Told::Done)
        }
        Wish::Delete { id, tenant } => match conversations.delete(&tenant, id).await? {
            true => Ok(Told::Done),
            false => Err(nothing()),
        },
        Wish::Look { id, tenant } => Ok(Told::Status(find(conversations, &tenant, id).await?.status())),
    }
}

async fn find(
    conversations: &Conversations,
    tenant: &TenantId,
    id: ConversationId,
) -> Result<Arc<ConversationState>, Fault> {
    conversations.get(tenant, id).await?.ok_or_else(nothing)
}

fn nothing() -> Fault {
    Fault::new(Code::NotFound, "no such conversation")
}

fn record(
    id: ConversationId,
    tenant: TenantId,
    folder: &str,
    text: Option<String>,
) -> Result<ConversationRecord, Fault> {
    let llm = json!({"model": "openai/scripted", "api_key": "a key", "base_url": "http://127.0.0.1:9/v1",
        "num_retries": 2, "retry_min_wait": 1, "retry_max_wait": 2, "usage_id": "agent"});
    let undelivered = text.map(|text| json!({"message": Words::new(Role::User, text), "run": true}));
    let record = json!({"id": id, "tenant": tenant, "sandbox": "none", "created_at": types::time::utc_now(),
        "title": null, "workspace": {"working_dir": folder, "kind": "LocalWorkspace"},
        "agent": {"kind": "Agent", "llm": llm, "tools": [{"name": "deed"}]}, "max_iterations": 50,
        "stuck_detection": false, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null,
        "undelivered": undelivered});
    serde_json::from_value(record).map_err(Fault::internal)
}

fn config(folder: PathBuf, policy: Policy) -> control::Config {
    const NOBODY: &str = "http://127.0.0.1:9";
    let (metrics, root) = (Metrics::default(), folder.join("workspace"));
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
