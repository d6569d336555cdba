//! A client with one conversation: says things, stops and deletes, asks again where nobody has answered, and remembers what
//! it was told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use ports::rpc::Code;
use ports::{Change, Parcel, Ports};
use tokio::time::sleep;
use types::buckets::SANDBOXES;
use types::calls::Once;
use types::conversation::Status;
use types::placement::{Want, Wanted};
use types::{ConversationId, EventId, TenantId};

use super::gateway::{DESK, Told, Wish};
use crate::world::Here;

/// Longer than a gateway takes to say that something takes too long.
const PATIENCE: Duration = Duration::from_secs(100);

/// What one client knows.
#[derive(Clone, Debug)]
pub struct Memory {
    pub tenant: TenantId,
    /// Nothing goes wrong, so nothing may be refused for a while.
    pub is_calm: bool,
    /// Its conversations, one after the other.
    pub past: Vec<Past>,
    pub is_done: bool,
    /// What it was told and cannot be.
    pub broken: Vec<String>,
}

/// What it knows of one conversation.
#[derive(Clone, Debug)]
pub struct Past {
    pub id: ConversationId,
    /// Messages that are stored by what it was told, in order.
    pub stored: Vec<String>,
    pub is_deleted: bool,
}

pub struct Client {
    ports: Ports,
    memory: Arc<Mutex<Memory>>,
    id: ConversationId,
    tenant: TenantId,
}

impl Memory {
    pub fn new(tenant: TenantId, is_calm: bool) -> Arc<Mutex<Self>> {
        let (past, broken) = (Vec::new(), Vec::new());
        Arc::new(Mutex::new(Self { tenant, is_calm, past, is_done: false, broken }))
    }
}

/// A client, until all it wants is done.
pub async fn work(here: Here, root: &Path, memory: Arc<Mutex<Memory>>) {
    sleep(Duration::from_millis(fastrand::u64(1_000..10_000))).await;
    for _ in 0..fastrand::u32(1..4) {
        live(&here, root, &memory).await;
    }
    memory.lock().is_done = true;
}

/// One conversation.
async fn live(here: &Here, root: &Path, memory: &Arc<Mutex<Memory>>) {
    let (id, tenant) = (ConversationId::random(), memory.lock().tenant.clone());
    memory.lock().past.push(Past { id, stored: Vec::new(), is_deleted: false });
    let client = Client { ports: here.ports.clone(), memory: memory.clone(), id, tenant };
    let folder = root.join(["project", "project", "other"][fastrand::usize(..3)]).display().to_string();
    client.create(folder).await;
    for number in 0..fastrand::u32(..6) {
        let most = [10, 1_000, 8_000, 40_000][fastrand::usize(..4)];
        sleep(Duration::from_millis(fastrand::u64(..most))).await;
        match fastrand::u32(..9) {
            8 => {
                client.wait_for_a_pause().await;
                client.say(number).await;
            }
            0 => client.insist(|client| Wish::Pause { id: client.id, tenant: client.tenant.clone() }).await,
            1 => {
                client.insist(|client| Wish::Interrupt { id: client.id, tenant: client.tenant.clone() }).await
            }
            2 => client.ask(&Wish::Run { id, tenant: client.tenant.clone() }).await.map_or((), drop),
            _ => client.say(number).await,
        }
    }
    match fastrand::bool() {
        true => client.delete().await,
        false => client.wait_for_rest().await,
    }
}

impl Client {
    async fn ask(&self, wish: &Wish) -> Option<Told> {
        let json = serde_json::to_vec(wish).ok()?;
        let answer = self.ports.bus.request(DESK, Parcel::json(json), PATIENCE).await;
        let told = answer.ok().and_then(|answer| serde_json::from_slice(&answer.json).ok());
        tracing::debug!(?wish, ?told, "a client has asked");
        let is_put_off =
            matches!(&told, None | Some(Told::Refused(Code::Unavailable | Code::Absent | Code::Internal, _)));
        if is_put_off && self.memory.lock().is_calm {
            self.wonder(wish, &format!("{told:?}"));
        }
        told
    }

    /// Until it is done, or refused for good.
    async fn insist(&self, wish: impl Fn(&Self) -> Wish) {
        loop {
            let wish = wish(self);
            match self.ask(&wish).await {
                Some(Told::Refused(Code::NotFound, why)) => return self.wonder(&wish, &why),
                Some(Told::Refused(Code::Busy | Code::Unavailable | Code::Absent | Code::Full, _)) | None => {
                    self.rest().await;
                }
                Some(_) => return,
            }
        }
    }

    async fn create(&self, folder: String) {
        let text = (fastrand::u32(..3) == 0).then(|| format!("first of {}", self.id));
        let wish = |client: &Self| Wish::Create {
            id: client.id,
            tenant: client.tenant.clone(),
            folder: folder.clone(),
            text: text.clone(),
        };
        self.insist(wish).await;
        // It is stored before all that is said later.
        self.know(|past| past.stored.extend(text.clone()));
    }

    /// Until a sandbox is about to be paused, any, or for as long as that may take: the worst moment to come.
    async fn wait_for_a_pause(&self) {
        let Ok(mut changes) = self.ports.kv.watch(SANDBOXES).await else { return };
        let is_pause = |change: &Change| match change {
            Change::Put { entry, .. } => serde_json::from_slice::<Wanted>(&entry.value)
                .is_ok_and(|wanted| wanted.want == Want::Paused && wanted.quiet_after.is_some()),
            Change::Deleted { .. } | Change::Lagged => false,
        };
        let paused = async { while changes.next().await.is_some_and(|change| !is_pause(&change)) {} };
        // Where none comes it is said all the same.
        let _ = tokio::time::timeout(Duration::from_secs(60), paused).await;
    }

    async fn say(&self, number: u32) {
        let text = format!("message {number} of {}", self.id);
        let (run, has_id, mut again) = (fastrand::u32(..5) != 0, fastrand::u32(..5) != 0, false);
        let event = EventId::random();
        loop {
            let once = has_id.then(|| Once { id: event.clone(), again });
            let wish = Wish::Say { id: self.id, tenant: self.tenant.clone(), text: text.clone(), run, once };
            match self.ask(&wish).await {
                Some(Told::Done) => return self.know(|past| past.stored.push(text)),
                Some(Told::Refused(Code::NotFound, why)) => return self.wonder(&wish, &why),
                Some(Told::Refused(Code::Internal, why)) => return self.wonder(&wish, &why),
                _ if has_id => {
                    again = true;
                    self.rest().await;
                }
                // Whether it is stored nobody knows.
                _ => return,
            }
        }
    }

    async fn delete(&self) {
        let mut is_first = true;
        loop {
            let wish = Wish::Delete { id: self.id, tenant: self.tenant.clone() };
            match self.ask(&wish).await {
                Some(Told::Done) => break,
                Some(Told::Refused(Code::NotFound, why)) if is_first => return self.wonder(&wish, &why),
                Some(Told::Refused(Code::NotFound, _)) => break,
                _ => self.rest().await,
            }
            is_first = false;
        }
        self.know(|past| past.is_deleted = true);
    }

    async fn wait_for_rest(&self) {
        loop {
            sleep(Duration::from_secs(2)).await;
            let wish = Wish::Look { id: self.id, tenant: self.tenant.clone() };
            match self.ask(&wish).await {
                Some(Told::Status(status)) if status != Status::Running => return,
                Some(Told::Refused(Code::NotFound, why)) => return self.wonder(&wish, &why),
                _ => {}
            }
        }
    }

    fn know(&self, change: impl FnOnce(&mut Past)) {
        if let Some(past) = self.memory.lock().past.last_mut() {
            change(past);
        }
    }

    fn wonder(&self, wish: &Wish, why: &str) {
        self.memory.lock().broken.push(format!("a client was told {why:?} to {wish:?}"));
    }

    async fn rest(&self) {
        sleep(Duration::from_millis(fastrand::u64(100..3_000))).await;
    }
}
