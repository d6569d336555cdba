//! The way to the broker that makes model calls for a worker without keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future};
use llm::{Pieces, TransportError};
use ports::retry::Backoff;
use ports::rpc::{self, Address, Code, Fault};
use ports::{Bus, Delivery, Parcel};
use tokio::runtime::Handle;
use tokio::time::Instant;
use types::brokering::{ModelCall, ModelNote, ModelPiece};
use types::{ConversationId, Epoch, SandboxId, subjects};

/// What a broker may take to take a call up, or a part of it; it answers before it makes the call.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a call waits for the room that others of its sandbox take up.
const ROOM: Duration = Duration::from_secs(60);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Bytes of a call's body in one message.
const PART: usize = 512 * 1024;

/// Calls models over the bus.
pub struct Broker {
    bus: Arc<dyn Bus>,
    sandbox: SandboxId,
    epoch: Epoch,
}

impl Broker {
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, sandbox: SandboxId, epoch: Epoch) -> Self {
        Self { bus, sandbox, epoch }
    }

    async fn hand_over(&self, call: &ModelCall, first: Bytes) -> Result<(), Fault> {
        let (address, give_up) = (Address::of_control_plane(&self.sandbox), Instant::now() + ROOM);
        let mut pauses = PAUSES;
        loop {
            let taken = rpc::call(self.bus.as_ref(), &address, call, first.clone(), DEADLINE).await;
            match taken {
                Err(fault) if fault.code == Code::Busy && Instant::now() < give_up => {
                    tokio::time::sleep(pauses.pause()).await;
                }
                outcome => return outcome.map(|((), _)| ()),
            }
        }
    }
}

#[async_trait]
impl llm::Broker for Broker {
    async fn open(
        &self,
        conversation: ConversationId,
        usage: String,
        url: String,
        mut body: Bytes,
    ) -> Result<Pieces, TransportError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let answers = subjects::model_pieces(&self.sandbox, self.epoch, &id);
        let pieces = self.bus.subscribe(&answers, None).await.map_err(lost)?;
        let notes = subjects::model_notes(&self.sandbox, &id);
        let cancel = CancelOnDrop { bus: self.bus.clone(), subject: notes.clone() };
        let (epoch, body_bytes) = (self.epoch, body.len() as u64);
        let call = ModelCall { id, epoch, conversation, usage, url, body_bytes };
        let first = body.split_to(body.len().min(PART));
        self.hand_over(&call, first).await.map_err(refused)?;
        while !body.is_empty() {
            let part = body.split_to(body.len().min(PART));
            // Not before the last one was taken: more would not fit into what waits there.
            self.bus.request(&notes, note(ModelNote::Body {}, part), DEADLINE).await.map_err(lost)?;
        }
        // A gap ends the stream, as a lost connection does.
        let whole = pieces.map(|delivery| match delivery {
            Delivery::Message(message) => Some(message.parcel),
            Delivery::Lagged => None,
        });
        let pieces = whole.take_while(|parcel| future::ready(parcel.is_some())).filter_map(move |parcel| {
            let _until_the_end = &cancel;
            future::ready(parcel.and_then(read))
        });
        Ok(pieces.boxed())
    }
}

fn read(parcel: Parcel) -> Option<(ModelPiece, Bytes)> {
    Some((serde_json::from_slice(&parcel.json).ok()?, parcel.blob))
}

/// What a run tells of it is an event of the conversation, which clients see; the rest is for the log.
fn lost(error: ports::Error) -> TransportError {
    tracing::warn!(%error, "the broker of model calls cannot be reached");
    TransportError::Connection("the broker of model calls cannot be reached now".to_owned())
}

fn refused(fault: Fault) -> TransportError {
    match fault.code {
        Code::Absent => TransportError::Connection("no broker for model calls is there".to_owned()),
        Code::Busy
        | Code::Unavailable
        | Code::Upstream
        | Code::UpstreamSlow
        | Code::Internal
        | Code::Conflict => {
            tracing::warn!(%fault, "the broker does not make a model call");
            TransportError::Connection("the broker cannot make the call now".to_owned())
        }
        Code::BadRequest | Code::Forbidden | Code::NotFound | Code::Invalid | Code::Full | Code::TooLarge => {
            TransportError::Setup(format!("The broker refuses the model call: {}", fault.public))
        }
    }
}

fn note(note: ModelNote, blob: Bytes) -> Parcel {
    // Such a value always serializes.
    Parcel { json: serde_json::to_vec(&note).unwrap_or_default().into(), blob }
}

/// Tells the broker that the answer is not wanted any more; one that has answered hears it no more.
struct CancelOnDrop {
    bus: Arc<dyn Bus>,
    subject: String,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // None while the runtime itself ends.
        let Ok(runtime) = Handle::try_current() else { return };
        let (bus, subject) = (self.bus.clone(), std::mem::take(&mut self.subject));
        runtime.spawn(async move {
            // Unheard, the broker stops at the answer's end.
            let _ = bus.publish(&subject, note(ModelNote::Cancel {}, Bytes::new())).await;
        });
    }
}
