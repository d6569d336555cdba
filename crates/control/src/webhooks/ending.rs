//! What webhooks are still to be told of conversations that are deleted, as it is stored: the events that were not delivered
//! yet, then that it goes.
//!
//! The events lie in pieces of one call each, in runs: one run for each try to delete the conversation. A piece is written once
//! and under a name that no other try uses; the record that names the runs is written behind them, by its revision. So no try
//! takes anything from another one, and pieces that no record names were left by a try that was cut off.
//!
//! Where a deletion is cut off when the log has gone and its record has not, the conversation goes on with a log that begins anew.
//! So each run says which log its events are of, and what is told is what the log of now has not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::{Bucket, Error, Expect, Kv, Result, Versioned};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};
use types::{ConversationId, Seq, hex};

use super::cursor::conversation_of;
use super::hook::HookId;
use super::life::Life;

/// A try to delete a conversation has come to its end by then, by whichever clock.
pub(super) const TRYING: Duration = Duration::from_secs(3_600);
/// An end that could not be told for so long is given up.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What is to be told of a conversation that is deleted.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Ending {
    /// Calls with events, and then the conversation itself.
    runs: Vec<Run>,
    /// How far the log is told with them, and which one that is.
    pub at: Seq,
    #[serde(default)]
    life: Life,
    /// What they hold.
    pub events: usize,
    pub bytes: usize,
    pub info: Value,
    /// Of the record: tells the conversation from another one with its id.
    created_at: String,
    /// In milliseconds from the beginning of 1970.
    put_at: u64,
}

/// The pieces of one try.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Run {
    name: String,
    pieces: usize,
    #[serde(default)]
    life: Life,
}

impl Ending {
    /// Without events, from `at` of a log on.
    pub fn new(info: Value, created_at: &str, (at, life): (Seq, Life)) -> Self {
        let (created_at, put_at) = (created_at.to_owned(), types::time::unix_ms());
        Self { runs: Vec::new(), at, life, events: 0, bytes: 0, info, created_at, put_at }
    }

    /// The same, as what is told now.
    pub fn again(self, info: Value) -> Self {
        Self { info, put_at: types::time::unix_ms(), ..self }
    }

    /// Where a log goes on that has this life and this tail: one that was removed begins anew.
    pub fn goes_on(&mut self, life: &Life, tail: Seq) -> Seq {
        if self.is_gone(life, tail) {
            return Seq::ZERO;
        }
        self.life = life.clone();
        self.at
    }

    /// There is one more piece in the run of a try.
    pub fn add(&mut self, run: &mut Run, (at, life): (Seq, &Life), events: usize, bytes: usize) {
        run.pieces += 1;
        run.life = life.clone();
        self.runs.retain(|other| other.name != run.name);
        self.runs.push(run.clone());
        (self.at, self.life) = (at, life.clone());
        self.events += events;
        self.bytes += bytes;
    }

    /// Its pieces in the order in which they are told, by the names behind that of the record.
    pub fn pieces(&self) -> impl Iterator<Item = String> + '_ {
        self.runs.iter().flat_map(Run::names)
    }

    /// Those that are of a log with this life. While that is there none of them is told.
    pub fn pieces_of(&self, life: &Life) -> Vec<String> {
        self.runs.iter().filter(|run| run.life == *life).flat_map(Run::names).collect()
    }

    /// Has none of them, and nothing of that log behind `at`.
    pub fn begin_anew(&mut self, at: Seq, life: &Life) {
        self.runs.retain(|run| run.life != *life);
        (self.at, self.life) = (at, life.clone());
        if self.runs.is_empty() {
            (self.events, self.bytes) = (0, 0);
        }
    }

    /// The pieces that a log with this life and this tail has not; `None` where it is the one that they are of.
    pub fn lost(&self, life: &Life, tail: Seq) -> Option<Vec<String>> {
        let is_gone = self.is_gone(life, tail);
        let is_lost = |run: &&Run| run.life.is_over(life) || (is_gone && run.life == self.life);
        let lost: Vec<String> = self.runs.iter().filter(is_lost).flat_map(Run::names).collect();
        (is_gone || !lost.is_empty()).then_some(lost)
    }

    pub fn names(&self, run: &Run) -> bool {
        self.runs.iter().any(|named| named.name == run.name)
    }

    fn is_gone(&self, life: &Life, tail: Seq) -> bool {
        self.life.is_over(life) || tail < self.at
    }

    /// Whether it is the end of this conversation.
    pub fn is_of(&self, created_at: &str) -> bool {
        self.created_at == created_at
    }

    pub fn is_too_old(&self) -> bool {
        u128::from(types::time::unix_ms()) > u128::from(self.put_at) + KEPT.as_millis()
    }
}

impl Run {
    /// Of a try that begins now.
    pub fn new() -> Self {
        let chance = hex(uuid::Uuid::new_v4().as_bytes().get(..6).unwrap_or_default());
        Self { name: format!("{:x}-{chance}", types::time::unix_ms()), pieces: 0, life: Life::default() }
    }

    pub fn next(&self) -> String {
        self.name_of(self.pieces)
    }

    /// With the piece that was about to be written.
    pub fn names_of_all(&self) -> impl Iterator<Item = String> + '_ {
        self.names().chain([self.next()])
    }

    fn names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.pieces).map(|number| self.name_of(number))
    }

    fn name_of(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }
}

/// The ends that a hook is to be told. Cheap to clone.
#[derive(Clone)]
pub(super) struct Endings {
    pub kv: Arc<dyn Kv>,
    pub hook: HookId,
}

impl Endings {
    /// # Errors
    /// Those of the store.
    pub async fn get(&self, key: &str) -> Result<Option<Versioned<Ending>>> {
        self.bucket().get(key).await
    }

    /// Its revision; `None` where `expect` does not hold.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put(&self, key: &str, ending: &Ending, expect: Expect) -> Result<Option<u64>> {
        self.bucket().put(key, ending, expect).await
    }

    /// May be done twice.
    ///
    /// # Errors
    /// Those of the store; `Full`.
    pub async fn put_piece(&self, key: &str, name: &str, events: Bytes) -> Result<()> {
        self.kv.put_if_room(WEBHOOK_ENDS, &piece(key, name), events).await
    }

    /// Removes a record, but not one that can be read. Whether it has gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_unreadable(&self, key: &str) -> Result<bool> {
        let Some(stored) = self.kv.get(WEBHOOK_ENDS, key).await? else { return Ok(true) };
        match serde_json::from_slice::<Ending>(&stored.value) {
            Ok(_) => Ok(false),
            Err(_) => self.bucket().remove(key, Expect::Revision(stored.revision)).await,
        }
    }

    /// # Errors
    /// Those of the store.
    pub async fn piece(&self, key: &str, name: &str) -> Result<Option<Bytes>> {
        Ok(self.kv.get(WEBHOOK_ENDS, &piece(key, name)).await?.map(|stored| stored.value))
    }

    /// # Errors
    /// Those of the store.
    pub async fn remove_piece(&self, key: &str, name: &str) -> Result<()> {
        self.kv.delete(WEBHOOK_ENDS, &piece(key, name), Expect::Anything).await
    }

    /// All is told, or nothing is to be, unless it was put aside anew meanwhile. With `with_cursor`, that of the conversation
    /// goes, too, and first: nothing else says that it is to go. The record goes before its pieces: what it has named nobody
    /// misses.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove(&self, key: &str, ending: &Versioned<Ending>, with_cursor: bool) -> Result<bool> {
        if with_cursor {
            self.kv.delete(WEBHOOKS, key, Expect::Anything).await?;
        }
        if !self.bucket().remove(key, Expect::Revision(ending.revision)).await? {
            return Ok(false);
        }
        for name in ending.value.pieces() {
            self.remove_piece(key, &name).await?;
        }
        Ok(true)
    }

    /// Makes room: the events of an end go, or all of it if it has none. The keys that have gone; `None` where there is no such
    /// end.
    ///
    /// # Errors
    /// Those of the store; `Conflict` where it was put aside anew meanwhile.
    pub async fn give_up(&self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(stored) = self.get(key).await? else { return Ok(None) };
        let changed = Error::Conflict { tail: None };
        if stored.value.runs.is_empty() {
            let is_gone = self.remove(key, &stored, true).await?;
            return is_gone.then(|| Some(vec![key.to_owned()])).ok_or(changed);
        }
        let without = Ending { runs: Vec::new(), bytes: 0, ..stored.value.clone() };
        if self.put(key, &without, Expect::Revision(stored.revision)).await?.is_none() {
            return Err(changed);
        }
        let mut gone = Vec::new();
        for name in stored.value.pieces() {
            self.remove_piece(key, &name).await?;
            gone.push(piece(key, &name));
        }
        Ok(Some(gone))
    }

    /// The conversation of a record that names an end for this hook; `None` for pieces and for what is another's.
    pub fn conversation(&self, key: &str) -> Option<ConversationId> {
        let is_record = key.split('.').count() == 3;
        conversation_of(&self.hook, key).filter(|_| is_record)
    }

    /// Of a piece for this hook, the record that may name it, and its name there.
    pub fn record_of_piece<'a>(&self, key: &'a str) -> Option<(&'a str, &'a str)> {
        let (record, name) = key.rsplit_once('.')?;
        self.conversation(record).map(|_| (record, name))
    }

    fn bucket(&self) -> Bucket<'_, Ending> {
        Bucket::new(self.kv.as_ref(), WEBHOOK_ENDS)
    }
}

/// Whether the try that has left a piece of this name is surely over.
pub(super) fn is_left(name: &str) -> bool {
    let begun = name.split('-').next().and_then(|begun| u64::from_str_radix(begun, 16).ok());
    begun.is_none_or(|begun| u128::from(types::time::unix_ms().abs_diff(begun)) > TRYING.as_millis())
}

fn piece(key: &str, name: &str) -> String {
    format!("{key}.{name}")
}
