//! Writing and deleting values, if what must hold does.

use std::sync::Arc;

use bytes::Bytes;
use ports::{Change, Error, Expect, KvEntry, Result};
use tokio::sync::oneshot;

use super::index::Buckets;
use crate::blocking::failed;
use crate::journal::{Stage, Transaction};
use crate::place::Place;

/// A key that is to be written, and what must hold.
pub struct Target {
    buckets: Arc<Buckets>,
    bucket: String,
    key: String,
    place: Place,
    expect: Expect,
}

/// What a write found.
struct Found {
    revision: Option<u64>,
    /// The revision that the write will have.
    next: u64,
}

impl Target {
    pub fn new(buckets: Arc<Buckets>, bucket: &str, key: &str, expect: Expect) -> Result<Self> {
        let place = Place::key(bucket, key)?;
        Ok(Self { buckets, bucket: bucket.to_owned(), key: key.to_owned(), place, expect })
    }

    fn check(&self, stage: &Stage<'_>) -> Result<Found> {
        let (stored, highest) =
            self.buckets.revisions(stage.disk, &self.bucket, &self.key).map_err(failed)?;
        let revision = stage.ahead.revisions.get(&self.place).copied().unwrap_or(stored);
        let highest = stage.ahead.highest_revisions.get(&self.bucket).copied().unwrap_or(highest);
        let holds = match self.expect {
            Expect::Anything => true,
            Expect::Absent => revision.is_none(),
            Expect::Revision(expected) => revision == Some(expected),
        };
        match holds {
            true => Ok(Found { revision, next: highest + 1 }),
            false => Err(Error::Conflict { tail: None }),
        }
    }

    fn note(&self, stage: &mut Stage<'_>, revision: Option<u64>, highest: u64) {
        stage.ahead.revisions.insert(self.place.clone(), revision);
        stage.ahead.highest_revisions.insert(self.bucket.clone(), highest);
    }
}

pub struct Put {
    target: Target,
    value: Bytes,
    revision: u64,
    answer: oneshot::Sender<Result<u64>>,
}

impl Put {
    pub fn new(target: Target, value: Bytes, answer: oneshot::Sender<Result<u64>>) -> Self {
        Self { target, value, revision: 0, answer }
    }
}

impl Transaction for Put {
    fn bytes(&self) -> usize {
        self.value.len()
    }

    fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        self.revision = self.target.check(stage)?.next;
        stage.frame.replace(&self.target.place, &[format!("{}\n", self.revision).as_bytes(), &self.value]);
        self.target.note(stage, Some(self.revision), self.revision);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        let (revision, target) = (self.revision, self.target);
        if outcome.is_ok() {
            let change = Change::Put { key: target.key, entry: KvEntry { revision, value: self.value } };
            target.buckets.changed(&target.bucket, revision, change);
        }
        // The caller may have given up.
        let _ = self.answer.send(outcome.map(|()| revision));
    }
}

pub struct Delete {
    target: Target,
    /// That of the deletion; `None` when there was nothing to delete.
    revision: Option<u64>,
    answer: oneshot::Sender<Result<()>>,
}

impl Delete {
    pub fn new(target: Target, answer: oneshot::Sender<Result<()>>) -> Self {
        Self { target, revision: None, answer }
    }
}

impl Transaction for Delete {
    fn bytes(&self) -> usize {
        0
    }

    fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        let found = self.target.check(stage)?;
        if found.revision.is_none() {
            return Ok(());
        }
        let note = Place::highest_revision(&self.target.bucket)?;
        stage.frame.replace(&note, &[format!("{}\n", found.next).as_bytes()]);
        stage.frame.remove(&self.target.place);
        self.target.note(stage, None, found.next);
        self.revision = Some(found.next);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        let target = self.target;
        if let (Ok(()), Some(revision)) = (&outcome, self.revision) {
            target.buckets.changed(&target.bucket, revision, Change::Deleted { key: target.key });
        }
        // The caller may have given up.
        let _ = self.answer.send(outcome);
    }
}
