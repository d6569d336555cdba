use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::buckets::LEASES;
use ports::rpc::{Address, Call, Code, Fault, Limits, Server};
use ports::storage::{Ledger, Storage};
use ports::{Kv, LogId};
use types::SandboxId;

use super::protocol::{Question, StorageAnswer, pack};
use crate::archive::{Archive, Direct};
use crate::body::PIECE;
use crate::message::{NewMessage, weight};

const GROUP: &str = "storage";
/// One sandbox appends for some hundred conversations at once, and leaves room for others.
const LIMITS: Limits = Limits::new(2_048, 512 << 20).for_each_subject(256, 64 << 20);
/// The most messages of one answer.
const PAGE: usize = 1_000;

/// The storage, for workers.
pub struct Served {
    pub archive: Arc<Direct>,
    pub kv: Arc<dyn Kv>,
}

#[async_trait]
impl Storage for Served {
    async fn serve(&self, server: &Server, ledger: Arc<dyn Ledger>) -> ports::Result<()> {
        let (archive, kv) = (self.archive.clone(), self.kv.clone());
        let handler = move |call: Call<Question>| {
            let (archive, kv, ledger) = (archive.clone(), kv.clone(), ledger.clone());
            async move {
                let sandbox = call.sandbox()?;
                Caller { archive, kv, ledger, sandbox }.answer(call.body, call.blob).await
            }
        };
        let serving = server.serve(&Address::of_all_workers(), Some(GROUP), LIMITS, handler).await?;
        // Its end is all that there is to know of it; what it ran into has been logged and answered.
        let _ = serving.await;
        Err(ports::Error::Unavailable("the connection to NATS has ended".to_owned()))
    }

    async fn erase(&self, sandbox: &SandboxId) -> ports::Result<()> {
        self.archive.erase(sandbox).await
    }
}

/// One worker: whatever it says, it is answered about `sandbox`, since it may publish on no other subject.
struct Caller {
    archive: Arc<Direct>,
    kv: Arc<dyn Kv>,
    ledger: Arc<dyn Ledger>,
    sandbox: SandboxId,
}

impl Caller {
    async fn answer(&self, question: Question, blob: Bytes) -> Result<(StorageAnswer, Bytes), Fault> {
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
                self.ledger.charge(&log, bytes, &|| message.shown()).await?;
                let appended = self.archive.append(&log, last, message).await;
                let number = self.unless_stored(bytes, appended)?;
                self.ledger.appended(records);
                (StorageAnswer::Appended(number), nothing)
            }
            Question::Messages { log: name, from, limit } => {
                let limit = limit.clamp(1, PAGE);
                let messages = self.archive.messages(&log(&name)?, from, limit).await?;
                let (envelopes, blob) = pack(messages);
                (StorageAnswer::Messages(envelopes), blob)
            }
            Question::Last { log: name } => {
                (StorageAnswer::Last(self.archive.last(&log(&name)?).await?), nothing)
            }
            Question::Delete { log: name } => {
                self.archive.delete(&log(&name)?).await?;
                (StorageAnswer::Done, nothing)
            }
            Question::Truncate { log: name, first } => {
                let log = log(&name)?;
                if let LogId::Conversation { .. } = log {
                    return Err(Fault::new(Code::Forbidden, "a worker drops nothing of a conversation"));
                }
                self.archive.truncate(&log, first).await?;
                (StorageAnswer::Done, nothing)
            }
            Question::BashLogs => {
                let mut names = self.archive.names(&self.sandbox).await?;
                names.retain(|name| name.starts_with('_'));
                (StorageAnswer::Names(names), nothing)
            }
            Question::Piece { log: name, digest, index } => {
                let piece = self.archive.piece(&log(&name)?, &digest, index).await?;
                (StorageAnswer::Piece { found: piece.is_some() }, piece.unwrap_or_default())
            }
            Question::PutPiece { log: name, digest, index } => {
                if blob.len() as u64 > PIECE {
                    return Err(Fault::new(Code::Invalid, "a piece is too large"));
                }
                let (log, bytes) = (log(&name)?, weight(None, &blob));
                self.ledger.charge(&log, bytes, &Vec::new).await?;
                let put = self.archive.put_piece(&log, &digest, index, blob).await;
                self.unless_stored(bytes, put)?;
                (StorageAnswer::Done, nothing)
            }
            Question::Lease => match self.kv.get(LEASES, self.sandbox.as_str()).await? {
                Some(lease) => (StorageAnswer::Lease(Some(lease.revision)), lease.value),
                None => (StorageAnswer::Lease(None), nothing),
            },
            Question::PutLease(expected) => {
                let key = self.sandbox.as_str();
                (StorageAnswer::Revision(self.kv.put(LEASES, key, blob, expected.into()).await?), nothing)
            }
            Question::DeleteLease(expected) => {
                self.kv.delete(LEASES, self.sandbox.as_str(), expected.into()).await?;
                (StorageAnswer::Done, nothing)
            }
        })
    }
}

impl Caller {
    /// Gives back what was charged for what is certainly not stored.
    fn unless_stored<T>(&self, bytes: u64, outcome: ports::Result<T>) -> ports::Result<T> {
        if let Err(error) = &outcome
            && !matches!(error, ports::Error::Unavailable(_))
        {
            self.ledger.refund(&self.sandbox, bytes);
        }
        outcome
    }
}
