//! A worker's logs and lease, asked for over the bus.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::rpc::{self, Address};
use ports::{Bus, Error, Expect, Extent, KvEntry, Result};
use types::{Epoch, LogId, SandboxId};

use super::protocol::{Question, StorageAnswer, unpack};
use crate::archive::Archive;
use crate::body::Digest;
use crate::link::PATIENCE;
use crate::message::{LogMessage, NewMessage};

/// How long it may take to drop a front: all that goes is read before.
const DROPPING: Duration = Duration::from_secs(60);

/// The logs and the lease of one sandbox, asked for over the bus.
pub struct Remote {
    bus: Arc<dyn Bus>,
    sandbox: SandboxId,
    epoch: Epoch,
}

impl Remote {
    pub fn new(bus: Arc<dyn Bus>, sandbox: &SandboxId, epoch: Epoch) -> Self {
        Self { bus, sandbox: sandbox.clone(), epoch }
    }

    /// The sandbox's lease.
    pub async fn lease(&self) -> Result<Option<KvEntry>> {
        match self.ask(Question::Lease, Bytes::new()).await? {
            (StorageAnswer::Lease(revision), value) => {
                Ok(revision.map(|revision| KvEntry { revision, value }))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    pub async fn put_lease(&self, value: Bytes, expect: Expect) -> Result<u64> {
        match self.ask(Question::PutLease(expect.into()), value).await? {
            (StorageAnswer::Revision(revision), _) => Ok(revision),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, question: Question, blob: Bytes) -> Result<(StorageAnswer, Bytes)> {
        self.ask_within(PATIENCE, question, blob).await
    }

    async fn ask_within(
        &self,
        deadline: Duration,
        question: Question,
        blob: Bytes,
    ) -> Result<(StorageAnswer, Bytes)> {
        let address = Address::of_control_plane_for(&self.sandbox, self.epoch);
        Ok(rpc::call_patiently(&*self.bus, &address, &question, blob, deadline).await?)
    }

    /// The name of a log of this sandbox.
    fn own(&self, log: &LogId) -> Result<String> {
        match *log.sandbox() == self.sandbox {
            true => Ok(log.name()),
            false => Err(Error::Internal(format!("log {log} is not of sandbox {}", self.sandbox))),
        }
    }
}

#[async_trait]
impl Archive for Remote {
    async fn append(&self, log: &LogId, last: u64, message: NewMessage) -> Result<u64> {
        let NewMessage { lengths, body, payload } = message;
        let question = Question::Append { log: self.own(log)?, last, lengths, body };
        match self.ask(question, payload).await? {
            (StorageAnswer::Appended(number), _) => Ok(number),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn messages(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>> {
        match self.ask(Question::Messages { log: self.own(log)?, from, limit }, Bytes::new()).await? {
            (StorageAnswer::Messages(envelopes), blob) => unpack(envelopes, blob)
                .ok_or_else(|| Error::Internal("messages are not as long as they say".to_owned())),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn last(&self, log: &LogId) -> Result<u64> {
        match self.ask(Question::Last { log: self.own(log)? }, Bytes::new()).await? {
            (StorageAnswer::Last(number), _) => Ok(number),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        Err(Error::Internal(format!("to remove {log} is not for a worker")))
    }

    async fn remove(&self, log: &LogId, _: Extent) -> Result<()> {
        Err(Error::Internal(format!("to remove {log} is not for a worker")))
    }

    async fn truncate(&self, log: &LogId, first: u64) -> Result<()> {
        let question = Question::Truncate { log: self.own(log)?, first };
        match self.ask_within(DROPPING, question, Bytes::new()).await? {
            (StorageAnswer::Done, _) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn names(&self, sandbox: &SandboxId) -> Result<Vec<String>> {
        if *sandbox != self.sandbox {
            return Err(Error::Internal(format!("sandbox {sandbox} is not {}", self.sandbox)));
        }
        match self.ask(Question::BashLogs, Bytes::new()).await? {
            (StorageAnswer::Names(names), _) => Ok(names),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>> {
        let question = Question::Piece { log: self.own(log)?, digest: digest.clone(), index };
        match self.ask(question, Bytes::new()).await? {
            (StorageAnswer::Piece { found }, blob) => Ok(found.then_some(blob)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
        let question = Question::PutPiece { log: self.own(log)?, digest: digest.clone(), index };
        match self.ask(question, piece).await? {
            (StorageAnswer::Done, _) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &StorageAnswer) -> Error {
    Error::Internal(format!("an answer to another question: {answer:?}"))
}
