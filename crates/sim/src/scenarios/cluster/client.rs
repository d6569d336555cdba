//! A client with one conversation: says things, stops and deletes, asks again where nobody has answered, and remembers what
//! it was told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ports::rpc::Code;
use ports::{Parcel, Ports};
use tokio::time::sleep;
use types::calls::Once;
use types::conversation::Status;
use types::{ConversationId, EventId, TenantId};

use super::gateway::{DESK, Told, Wish};
use crate::world::Here;

/// Longer than a gateway takes to say that something takes too long.
const PATIENCE: Duration = Duration::from_secs(100);

/// What one client knows.
#[derive(Clone, Debug)]
pub struct Memory {
    pub id: ConversationId,
    pub tenant: TenantId,
    /// Messages that are stored by what it was told, in order.
    pub stored: Vec<String>,
    pub is_deleted: bool,
    pub is_done: bool,
    /// What it was told and cannot be.
    pub broken: Vec<String>,
}

pub struct Client {
    ports: Ports,
    memory: Arc<Mutex<Memory>>,
    id: ConversationId,
    tenant: TenantId,
}

impl Memory {
    pub fn new(tenant: TenantId) -> Arc<Mutex<Self>> {
        let (id, stored, broken) = (ConversationId::random(), Vec::new(), Vec::new());
        Arc::new(Mutex::new(Self { id, tenant, stored, is_deleted: false, is_done: false, broken }))
    }
}

/// A client, until all it wants is done.
pub async fn work(here: Here, root: &Path, memory: Arc<Mutex<Memory>>) {
    let Memory { id, tenant, .. } = memory.lock().clone();
    let client = Client { ports: here.ports.clone(), memory: memory.clone(), id, tenant };
    sleep(Duration::from_millis(fastrand::u64(..10_000))).await;
    let folder = root.join(["project", "other"][fastrand::usize(..2)]).display().to_string();
    client.create(folder).await;
    for number in 0..fastrand::u32(1..6) {
        sleep(Duration::from_millis(fastrand::u64(..[10, 1_000, 8_000][fastrand::usize(..3)]))).await;
        match fastrand::u32(..8) {
            0 => client.insist(|client| Wish::Pause { id: client.id, tenant: client.tenant.clone() }).await,
            1 => {
                client.insist(|client| Wish::Interrupt { id: client.id, tenant: client.tenant.clone() }).await
            }
            2 => client.ask(&Wish::Run { id, tenant: client.tenant.clone() }).await.map_or((), drop),
            _ => client.say(number).await,
        }
    }
    match fastrand::u32(..4) {
        0 => client.delete().await,
        _ => client.wait_for_rest().await,
    }
    memory.lock().is_done = true;
}

impl Client {
    async fn ask(&self, wish: &Wish) -> Option<Told> {
        let json = serde_json::to_vec(wish).ok()?;
        let answer = self.ports.bus.request(DESK, Parcel::json(json), PATIENCE).await;
        let told = answer.ok().and_then(|answer| serde_json::from_slice(&answer.json).ok());
        tracing::debug!(?wish, ?told, "a client has asked");
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
        self.memory.lock().stored.extend(text.clone());
    }

    async fn say(&self, number: u32) {
        let text = format!("message {number} of {}", self.id);
        let (run, has_id, mut again) = (fastrand::u32(..5) != 0, fastrand::u32(..5) != 0, false);
        let event = EventId::random();
        loop {
            let once = has_id.then(|| Once { id: event.clone(), again });
            let wish = Wish::Say { id: self.id, tenant: self.tenant.clone(), text: text.clone(), run, once };
            match self.ask(&wish).await {
                Some(Told::Done) => return self.memory.lock().stored.push(text),
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
        self.memory.lock().is_deleted = true;
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

    fn wonder(&self, wish: &Wish, why: &str) {
        self.memory.lock().broken.push(format!("a client was told {why:?} to {wish:?}"));
    }

    async fn rest(&self) {
        sleep(Duration::from_millis(fastrand::u64(100..3_000))).await;
    }
}
