//! Answers workers about their logs and leases, for the control plane.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::Kv;
use ports::rpc::{Address, Call, Code, Fault, Limits, Server};
use ports::storage::{Ledger, Storage};
use types::{Epoch, LogId, SandboxId};

use super::appends::Appends;
use super::lease::Leases;
use super::protocol::{Question, StorageAnswer, pack};
use crate::archive::{Archive, Direct};
use crate::message::NewMessage;

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
        let desk = Arc::new(Desk {
            archive: self.archive.clone(),
            appends: Appends::new(self.archive.clone(), ledger),
            leases: Leases::new(self.kv.clone()),
        });
        let handler = move |call: Call<Question>| {
            let desk = desk.clone();
            async move {
                let (sandbox, epoch) = call.incarnation()?;
                desk.answer(&sandbox, epoch, call.body, call.blob).await
            }
        };
        let serving = server.serve(&Address::of_all_incarnations(), Some(GROUP), LIMITS, handler).await?;
        // Its end is all that there is to know of it; what it ran into has been logged and answered.
        let _ = serving.await;
        Err(ports::Error::Unavailable("the connection to NATS has ended".to_owned()))
    }

    async fn erase(&self, sandbox: &SandboxId) -> ports::Result<()> {
        self.archive.erase(sandbox).await
    }

    async fn logs(&self, sandbox: &SandboxId) -> ports::Result<Vec<LogId>> {
        let names = self.archive.names(sandbox).await?;
        Ok(names.iter().filter_map(|name| LogId::of_name(sandbox, name)).collect())
    }

    async fn weigh(&self, sandbox: &SandboxId) -> ports::Result<u64> {
        self.archive.weigh_all(sandbox).await
    }
}

struct Desk {
    archive: Arc<Direct>,
    appends: Appends,
    leases: Leases,
}

impl Desk {
    /// Whatever a worker says, it is answered about its own sandbox and for its own epoch: it may publish on no other
    /// subject.
    async fn answer(
        &self,
        sandbox: &SandboxId,
        epoch: Epoch,
        question: Question,
        blob: Bytes,
    ) -> Result<(StorageAnswer, Bytes), Fault> {
        let log = |name: &str| {
            let named = LogId::of_name(sandbox, name);
            named.ok_or_else(|| Fault::new(Code::Invalid, "this names no log"))
        };
        let nothing = Bytes::new();
        Ok(match question {
            Question::Append { log: name, last, lengths, body } => {
                let message = NewMessage { lengths, body, payload: blob };
                let number = self.appends.append(&log(&name)?, epoch, last, message).await?;
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
            Question::Truncate { log: name, first } => {
                let log = log(&name)?;
                if let LogId::Conversation { .. } = log {
                    return Err(Fault::new(Code::Forbidden, "a worker drops nothing of a conversation"));
                }
                self.archive.truncate(&log, first).await?;
                (StorageAnswer::Done, nothing)
            }
            Question::BashLogs => {
                let mut names = self.archive.names(sandbox).await?;
                let is_bash = |log: LogId| log.bash_scope().is_some();
                names.retain(|name| LogId::of_name(sandbox, name).is_some_and(is_bash));
                (StorageAnswer::Names(names), nothing)
            }
            Question::Piece { log: name, digest, index } => {
                let piece = self.archive.piece(&log(&name)?, &digest, index).await?;
                (StorageAnswer::Piece { found: piece.is_some() }, piece.unwrap_or_default())
            }
            Question::PutPiece { log: name, digest, index } => {
                self.appends.put_piece(&log(&name)?, &digest, index, blob).await?;
                (StorageAnswer::Done, nothing)
            }
            Question::Lease => match self.leases.of(sandbox).await? {
                Some(lease) => (StorageAnswer::Lease(Some(lease.revision)), lease.value),
                None => (StorageAnswer::Lease(None), nothing),
            },
            Question::PutLease(expected) => {
                let revision = self.leases.put(sandbox, epoch, &blob, expected.into()).await?;
                (StorageAnswer::Revision(revision), nothing)
            }
        })
    }
}
