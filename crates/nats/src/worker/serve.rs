use std::sync::Arc;

use bytes::Bytes;
use ports::buckets::LEASES;
use ports::rpc::{self, Call, Code, Fault};
use ports::{Bus, Kv, LogId, subjects};
use tokio_util::sync::CancellationToken;
use types::SandboxId;

use super::protocol::{Answer, Question, pack};
use crate::archive::Archive;
use crate::body::PIECE;
use crate::message::NewMessage;

/// Told how many records a worker has appended.
pub type Observer = Arc<dyn Fn(usize) + Send + Sync>;

const GROUP: &str = "storage";
/// The most messages of one answer.
const PAGE: usize = 1_000;

pub async fn serve(
    bus: Arc<dyn Bus>,
    archive: Arc<dyn Archive>,
    kv: Arc<dyn Kv>,
    appended: Observer,
    shutdown: CancellationToken,
) -> ports::Result<()> {
    let handler = move |call: Call<Question>| {
        let (archive, kv, appended) = (archive.clone(), kv.clone(), appended.clone());
        async move {
            let sandbox = sandbox_of(&call.subject)
                .ok_or_else(|| Fault::new(Code::Invalid, "a call about no sandbox"))?;
            let caller = Caller { archive, kv, appended, sandbox };
            caller.answer(call.body, call.blob).await
        }
    };
    let serving = rpc::serve(bus, subjects::ALL_STORAGE, Some(GROUP), handler).await?;
    tokio::select! {
        () = serving => Err(ports::Error::Unavailable("the connection to NATS has ended".to_owned())),
        () = shutdown.cancelled() => Ok(()),
    }
}

/// One worker: whatever it says, it is answered about `sandbox`, since it may publish on no other subject.
struct Caller {
    archive: Arc<dyn Archive>,
    kv: Arc<dyn Kv>,
    appended: Observer,
    sandbox: SandboxId,
}

impl Caller {
    async fn answer(&self, question: Question, blob: Bytes) -> Result<(Answer, Bytes), Fault> {
        let log = |name: &str| LogId::named(&self.sandbox, name);
        let nothing = Bytes::new();
        Ok(match question {
            Question::Append { log: name, last, lengths, body } => {
                let message = NewMessage { lengths, body, payload: blob };
                let records = message.records();
                let number = self.archive.append(&log(&name), last, message).await?;
                (self.appended)(records);
                (Answer::Appended(number), nothing)
            }
            Question::Messages { log: name, from, limit } => {
                let limit = limit.clamp(1, PAGE);
                let messages = self.archive.messages(&log(&name), from, limit).await?;
                let (envelopes, blob) = pack(messages);
                (Answer::Messages(envelopes), blob)
            }
            Question::Last { log: name } => (Answer::Last(self.archive.last(&log(&name)).await?), nothing),
            Question::Delete { log: name } => {
                self.archive.delete(&log(&name)).await?;
                (Answer::Done, nothing)
            }
            Question::Piece { log: name, digest, index } => {
                let piece = self.archive.piece(&log(&name), &digest, index).await?;
                (Answer::Piece { found: piece.is_some() }, piece.unwrap_or_default())
            }
            Question::PutPiece { log: name, digest, index } => {
                if blob.len() as u64 > PIECE {
                    return Err(Fault::new(Code::Invalid, "a piece is too large"));
                }
                self.archive.put_piece(&log(&name), &digest, index, blob).await?;
                (Answer::Done, nothing)
            }
            Question::Lease => match self.kv.get(LEASES, self.sandbox.as_str()).await? {
                Some(lease) => (Answer::Lease(Some(lease.revision)), lease.value),
                None => (Answer::Lease(None), nothing),
            },
            Question::PutLease(expected) => {
                let key = self.sandbox.as_str();
                (Answer::Revision(self.kv.put(LEASES, key, blob, expected.into()).await?), nothing)
            }
            Question::DeleteLease(expected) => {
                self.kv.delete(LEASES, self.sandbox.as_str(), expected.into()).await?;
                (Answer::Done, nothing)
            }
        })
    }
}

fn sandbox_of(subject: &str) -> Option<SandboxId> {
    SandboxId::parse(subject.strip_prefix("mh.hist.")?)
}
