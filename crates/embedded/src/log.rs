//! The port of logs, on files.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Appended, Error, EventLog, Extent, Parcel, Record, Result, Stored};
use tokio::sync::oneshot;
use types::{BashScope, LogId, SandboxId, Seq, subjects};

use crate::blocking::{blocking, failed};
use crate::bus::LocalBus;
use crate::disk::Disk;
use crate::journal::{Journal, MAX_BYTES, Stage, Transaction};
use crate::place::Place;

/// Logs as files with a record a line.
pub struct FileLog {
    pub disk: Arc<Disk>,
    pub journal: Journal,
    pub bus: LocalBus,
}

#[async_trait]
impl EventLog for FileLog {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        let place = Place::log(log);
        let size = check(&records)?;
        let followers = log.is_published().then(|| (subjects::stored(log), self.bus.clone()));
        self.journal
            .run(|answer| {
                let seqs = Vec::with_capacity(records.len());
                Box::new(Append { place, after, records, size, seqs, followers, answer })
            })
            .await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let (place, disk) = (Place::log(log), self.disk.clone());
        if disk.known_tail(&place).is_some_and(|tail| tail <= after.0) {
            return Ok(Vec::new());
        }
        blocking(move || match disk.log(&place)? {
            Some(log) => log.read(after.0, limit),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        let (place, disk) = (Place::log(log), self.disk.clone());
        if let Some(tail) = disk.known_tail(&place) {
            return Ok(Seq(tail));
        }
        blocking(move || Ok(Seq(disk.log(&place)?.map_or(0, |log| log.tail())))).await
    }

    async fn extent(&self, _: &LogId) -> Result<Extent> {
        Ok(Extent::default())
    }

    async fn remove(&self, log: &LogId, _: Extent) -> Result<()> {
        let place = Place::log(log);
        self.journal.run(|answer| Box::new(Delete { place, answer })).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        let place = Place::log(log);
        self.journal.run(|answer| Box::new(Truncate { place, first_kept, answer })).await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        let (disk, folder) = (self.disk.clone(), Place::bash_logs(sandbox));
        let names = blocking(move || disk.logs_in(&folder)).await?;
        Ok(names.iter().filter_map(|name| LogId::of_name(sandbox, name)?.bash_scope()).collect())
    }
}

/// The bytes that the records take as lines.
fn check(records: &[Bytes]) -> Result<usize> {
    let size = records.iter().map(|record| record.len() + 1).sum();
    if size > MAX_BYTES {
        return Err(Error::Internal(format!("more than {MAX_BYTES} bytes in one append")));
    }
    match records.iter().any(|record| memchr::memchr(b'\n', record).is_some()) {
        true => Err(Error::Internal("a record contains a line feed".to_owned())),
        false => Ok(size),
    }
}

struct Append {
    place: Place,
    after: Seq,
    records: Vec<Bytes>,
    size: usize,
    seqs: Vec<Seq>,
    /// The subject they listen on, and where. None: nobody follows the log.
    followers: Option<(String, LocalBus)>,
    answer: oneshot::Sender<Result<Appended>>,
}

impl Transaction for Append {
    fn bytes(&self) -> usize {
        self.size
    }

    fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        let tail = tail(stage, &self.place)?;
        if tail != self.after.0 {
            return Err(Error::Conflict { tail: Some(Seq(tail)) });
        }
        let mut end = tail;
        for record in &self.records {
            end += record.len() as u64 + 1;
            self.seqs.push(Seq(end));
        }
        if !self.records.is_empty() {
            let lines: Vec<&[u8]> = self.records.iter().flat_map(|record| [record.as_ref(), b"\n"]).collect();
            stage.frame.append(&self.place, tail, &lines);
            stage.ahead.tails.insert(self.place.clone(), end);
        }
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        if outcome.is_ok() {
            self.publish();
        }
        let seqs = self.seqs;
        // The caller may have given up.
        let _ = self.answer.send(outcome.map(|()| Appended { seqs }));
    }
}

impl Append {
    fn publish(&self) {
        let Some((subject, bus)) = &self.followers else { return };
        let mut prev = self.after;
        for (seq, record) in self.seqs.iter().zip(&self.records) {
            let stored = Stored { seq: *seq, prev };
            let json = format!(r#"{{"seq":{},"prev":{}}}"#, stored.seq.0, stored.prev.0);
            bus.send(subject, &Parcel { json: json.into(), blob: record.clone() });
            prev = *seq;
        }
    }
}

struct Delete {
    place: Place,
    answer: oneshot::Sender<Result<()>>,
}

impl Transaction for Delete {
    fn bytes(&self) -> usize {
        0
    }

    fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        // Also without a log: there may be other files in the folder.
        stage.frame.remove(&self.place);
        stage.ahead.tails.insert(self.place.clone(), 0);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        // The caller may have given up.
        let _ = self.answer.send(outcome);
    }
}

struct Truncate {
    place: Place,
    first_kept: Seq,
    answer: oneshot::Sender<Result<()>>,
}

impl Transaction for Truncate {
    fn bytes(&self) -> usize {
        0
    }

    fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()> {
        // What is appended later must not fall under it when it is done again.
        let first_kept = self.first_kept.0.min(tail(stage, &self.place)?);
        if first_kept > 0 {
            stage.frame.truncate(&self.place, first_kept);
        }
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        // The caller may have given up.
        let _ = self.answer.send(outcome);
    }
}

fn tail(stage: &Stage<'_>, place: &Place) -> Result<u64> {
    if let Some(tail) = stage.ahead.tails.get(place) {
        return Ok(*tail);
    }
    let log = stage.disk.log(place).map_err(failed)?;
    Ok(log.map_or(0, |log| log.tail()))
}
