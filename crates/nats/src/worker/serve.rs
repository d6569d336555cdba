use std::sync::Arc;

use bytes::Bytes;
use ports::buckets::LEASES;
use ports::rpc::{self, Call, Code, Fault};
use ports::{Bus, Kv, LogId, subjects};
use tokio_util::sync::CancellationToken;
use types::SandboxId;

use super::ending::is_ending;
use super::protocol::{Answer, Question, pack};
use super::sweep::keep_swept;
use crate::archive::{Archive, Direct};
use crate::body::PIECE;
use crate::message::{NewMessage, weight};
use crate::quota::Quota;

/// Told how many records a worker has appended.
pub type Observer = Arc<dyn Fn(usize) + Send + Sync>;

const GROUP: &str = "storage";
/// The most messages of one answer.
const PAGE: usize = 1_000;

/// What workers are served with.
#[derive(Clone)]
pub struct Served {
    pub archive: Arc<Direct>,
    pub kv: Arc<dyn Kv>,
    /// `None`: a sandbox may store whatever it likes.
    pub quota: Option<Arc<Quota>>,
    pub appended: Observer,
}

pub async fn serve(bus: Arc<dyn Bus>, served: Served, shutdown: CancellationToken) -> ports::Result<()> {
    let Served { archive, kv, quota, .. } = served.clone();
    let handler = move |call: Call<Question>| {
        let served = served.clone();
        async move {
            let sandbox = sandbox_of(&call.subject)
                .ok_or_else(|| Fault::new(Code::Invalid, "a call about no sandbox"))?;
            Caller { served, sandbox }.answer(call.body, call.blob).await
        }
    };
    let serving = rpc::serve(bus, subjects::ALL_STORAGE, Some(GROUP), handler).await?;
    let sweeping = async {
        match &quota {
            Some(_) => keep_swept(&archive, kv.as_ref()).await,
            None => std::future::pending().await,
        }
    };
    let served = tokio::select! {
        () = sweeping => Ok(()),
        () = serving => Err(ports::Error::Unavailable("the connection to NATS has ended".to_owned())),
        () = shutdown.cancelled() => Ok(()),
    };
    if let Some(quota) = quota {
        quota.save_all().await;
    }
    served
}

/// One worker: whatever it says, it is answered about `sandbox`, since it may publish on no other subject.
struct Caller {
    served: Served,
    sandbox: SandboxId,
}

impl Caller {
    async fn answer(&self, question: Question, blob: Bytes) -> Result<(Answer, Bytes), Fault> {
        let log = |name: &str| {
            let named = LogId::of_name(&self.sandbox, name);
            named.ok_or_else(|| Fault::new(Code::Invalid, "this names no log"))
        };
        let nothing = Bytes::new();
        Ok(match question {
            Question::Append { log: name, last, lengths, body } => {
                let log = log(&name)?;
                let message = NewMessage { lengths, body, payload: blob };
                let (records, bytes) = (message.records(), message.weight());
                self.charge(bytes, || is_ending(&log, &message)).await?;
                let appended = self.served.archive.append(&log, last, message).await;
                let number = self.unless_stored(bytes, appended)?;
                (self.served.appended)(records);
                (Answer::Appended(number), nothing)
            }
            Question::Messages { log: name, from, limit } => {
                let limit = limit.clamp(1, PAGE);
                let messages = self.served.archive.messages(&log(&name)?, from, limit).await?;
                let (envelopes, blob) = pack(messages);
                (Answer::Messages(envelopes), blob)
            }
            Question::Last { log: name } => {
                (Answer::Last(self.served.archive.last(&log(&name)?).await?), nothing)
            }
            Question::Delete { log: name } => {
                self.served.archive.delete(&log(&name)?).await?;
                (Answer::Done, nothing)
            }
            Question::Truncate { log: name, first } => {
                let log = log(&name)?;
                if let LogId::Conversation { .. } = log {
                    return Err(Fault::new(Code::Forbidden, "a worker drops nothing of a conversation"));
                }
                self.served.archive.truncate(&log, first).await?;
                (Answer::Done, nothing)
            }
            Question::Piece { log: name, digest, index } => {
                let piece = self.served.archive.piece(&log(&name)?, &digest, index).await?;
                (Answer::Piece { found: piece.is_some() }, piece.unwrap_or_default())
            }
            Question::PutPiece { log: name, digest, index } => {
                if blob.len() as u64 > PIECE {
                    return Err(Fault::new(Code::Invalid, "a piece is too large"));
                }
                let (log, bytes) = (log(&name)?, weight(None, &blob));
                self.charge(bytes, || false).await?;
                let put = self.served.archive.put_piece(&log, &digest, index, blob).await;
                self.unless_stored(bytes, put)?;
                (Answer::Done, nothing)
            }
            Question::Lease => match self.served.kv.get(LEASES, self.sandbox.as_str()).await? {
                Some(lease) => (Answer::Lease(Some(lease.revision)), lease.value),
                None => (Answer::Lease(None), nothing),
            },
            Question::PutLease(expected) => {
                let key = self.sandbox.as_str();
                (Answer::Revision(self.served.kv.put(LEASES, key, blob, expected.into()).await?), nothing)
            }
            Question::DeleteLease(expected) => {
                self.served.kv.delete(LEASES, self.sandbox.as_str(), expected.into()).await?;
                (Answer::Done, nothing)
            }
        })
    }
}

impl Caller {
    async fn charge(&self, bytes: u64, is_end: impl FnOnce() -> bool) -> ports::Result<()> {
        match &self.served.quota {
            Some(quota) => quota.charge(&self.sandbox, bytes, is_end).await,
            None => Ok(()),
        }
    }

    /// Gives back what was charged for what is certainly not stored.
    fn unless_stored<T>(&self, bytes: u64, outcome: ports::Result<T>) -> ports::Result<T> {
        if let (Some(quota), Err(error)) = (&self.served.quota, &outcome)
            && !matches!(error, ports::Error::Unavailable(_))
        {
            quota.refund(&self.sandbox, bytes);
        }
        outcome
    }
}

fn sandbox_of(subject: &str) -> Option<SandboxId> {
    SandboxId::parse(subject.strip_prefix("mh.hist.")?)
}
