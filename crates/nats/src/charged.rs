//! Storing at the cost of a sandbox, for its worker or for the control plane: what is stored is counted before, as it is weighed
//! when it is removed, and what is certainly not stored is given back.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::mutants::{self, Mutant};
use ports::storage::Ledger;
use ports::{Error, Extent, Result};
use types::{LogId, SandboxId};

use crate::archive::{Archive, Direct};
use crate::body::Digest;
use crate::message::{LOG_WEIGHT, LogMessage, NewMessage, piece_weight};
use crate::streams::Unstored;

pub struct Charged {
    pub archive: Arc<Direct>,
    pub ledger: Arc<dyn Ledger>,
}

impl Charged {
    /// As [`Archive::append`]. `shown` gives the records that tell whether there is a reserve for them.
    pub async fn store(
        &self,
        log: &LogId,
        last: u64,
        message: NewMessage,
        shown: impl Fn(&NewMessage) -> Vec<Bytes> + Send + Sync,
    ) -> Result<u64> {
        let bytes = message.weight() + if last == 0 { LOG_WEIGHT } else { 0 };
        self.ledger.charge(log, bytes, &|| shown(&message)).await?;
        let appended = self.archive.append_new(log, last, message).await;
        appended.map_err(|unstored| self.give_back(log, bytes, unstored))
    }

    /// Gives back what was charged for what is certainly not stored: it may be tried for hours, while the disk is full.
    fn give_back(&self, log: &LogId, bytes: u64, unstored: Unstored) -> Error {
        if let Unstored::Surely(_) = &unstored
            && !mutants::is(Mutant::ChargedTries)
        {
            self.ledger.refund(log.sandbox(), bytes);
        }
        unstored.into()
    }
}

#[async_trait]
impl Archive for Charged {
    /// The reserve is for the ends that workers tell of.
    async fn append(&self, log: &LogId, last: u64, message: NewMessage) -> Result<u64> {
        self.store(log, last, message, |_| Vec::new()).await
    }

    async fn messages(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>> {
        self.archive.messages(log, from, limit).await
    }

    async fn last(&self, log: &LogId) -> Result<u64> {
        self.archive.last(log).await
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        self.archive.extent(log).await
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.archive.remove(log, extent).await
    }

    async fn truncate(&self, log: &LogId, first: u64) -> Result<()> {
        self.archive.truncate(log, first).await
    }

    async fn names(&self, sandbox: &SandboxId) -> Result<Vec<String>> {
        self.archive.names(sandbox).await
    }

    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>> {
        self.archive.piece(log, digest, index).await
    }

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
        let bytes = piece_weight(&piece);
        self.ledger.charge(log, bytes, &Vec::new).await?;
        let stored = self.archive.put_new_piece(log, digest, index, piece).await;
        match stored.map_err(|unstored| self.give_back(log, bytes, unstored)) {
            // Whoever stored it has paid for it.
            Err(Error::Conflict { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}
