use async_trait::async_trait;
use bytes::Bytes;
use ports::rpc::{self, Code, Fault};
use ports::{Error, LogId, Result, buckets, subjects};
use types::SandboxId;

use super::protocol::{Answer, Question, join, unpack};
use crate::archive::{Archive, Value};
use crate::body::Digest;
use crate::link::{Link, PATIENCE};
use crate::message::LogMessage;

/// The archive of one sandbox, asked for over the bus.
pub struct Remote {
    link: Link,
    sandbox: SandboxId,
}

impl Remote {
    pub fn new(link: Link, sandbox: &SandboxId) -> Self {
        Self { link, sandbox: sandbox.clone() }
    }

    /// How many the cluster has.
    pub async fn partitions(&self) -> Result<u64> {
        match self.ask(Question::Partitions, Bytes::new()).await? {
            (Answer::Partitions(partitions), _) => Ok(partitions),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, question: Question, blob: Bytes) -> Result<(Answer, Bytes)> {
        let subject = subjects::storage(&self.sandbox);
        rpc::call(&self.link, &subject, &question, blob, PATIENCE).await.map_err(error)
    }

    /// The name of a log of this sandbox.
    fn own(&self, log: &LogId) -> Result<String> {
        match log.sandbox == self.sandbox {
            true => Ok(log.name.clone()),
            false => Err(Error::Internal(format!("log {log} is not of sandbox {}", self.sandbox))),
        }
    }
}

#[async_trait]
impl Archive for Remote {
    async fn messages(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>> {
        match self.ask(Question::Messages { log: self.own(log)?, from, limit }, Bytes::new()).await? {
            (Answer::Messages(envelopes), blob) => unpack(envelopes, blob)
                .ok_or_else(|| Error::Internal("messages are not as long as they say".to_owned())),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn last(&self, log: &LogId) -> Result<u64> {
        match self.ask(Question::Last { log: self.own(log)? }, Bytes::new()).await? {
            (Answer::Last(number), _) => Ok(number),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn delete(&self, log: &LogId) -> Result<()> {
        match self.ask(Question::Delete { log: self.own(log)? }, Bytes::new()).await? {
            (Answer::Done, _) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>> {
        let question = Question::Piece { log: self.own(log)?, digest: digest.clone(), index };
        match self.ask(question, Bytes::new()).await? {
            (Answer::Piece { found }, blob) => Ok(found.then_some(blob)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
        let question = Question::PutPiece { log: self.own(log)?, digest: digest.clone(), index };
        match self.ask(question, piece).await? {
            (Answer::Done, _) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn value(&self, bucket: &str, key: &str) -> Result<Option<Value>> {
        if bucket != buckets::LEASES || key != self.sandbox.as_str() {
            return Err(Error::Internal(format!("{bucket}/{key} is not this worker's")));
        }
        match self.ask(Question::Lease, Bytes::new()).await? {
            (Answer::Lease(revision), blob) => Ok(join(revision, blob)),
            (other, _) => Err(unexpected(&other)),
        }
    }
}

fn error(fault: Fault) -> Error {
    match fault.code {
        Code::NotFound => Error::NotFound,
        Code::Conflict => Error::Conflict { tail: None },
        Code::Unavailable | Code::Busy => Error::Unavailable(fault.message),
        Code::BadRequest | Code::Forbidden | Code::Invalid | Code::Internal => Error::Internal(fault.message),
    }
}

fn unexpected(answer: &Answer) -> Error {
    Error::Internal(format!("an answer to another question: {answer:?}"))
}
