//! How far a webhook was told of a conversation: stored for each of both, and only ever moved on.
//!
//! Whoever has delivered something moves the cursor to behind it by compare-and-set, and never back. So it does no harm where
//! a gateway does that late which is not the one to deliver any more: what it says was delivered has been.

use std::sync::Arc;

use ports::{Bucket, EventLog, Kv, Result, Versioned};
use readmodel::history::{History, Moment, Shown, shown};
use readmodel::index::ConversationState;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use types::buckets::WEBHOOKS;
use types::hex;
use types::{ConversationId, Seq};

use super::hook::HookId;

/// The record that a gateway holds while it is the one that delivers.
pub(super) const LEASE: &str = "lease";

/// How far a hook was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The last record that was delivered, or that is nobody's business.
    pub at: Seq,
    /// Events before the next one.
    pub events: u64,
    /// What was told of the conversation itself; `None`: nothing yet.
    #[serde(default)]
    pub told: Option<Told>,
}

/// As which a conversation was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    noted: Seq,
    /// A digest: titles may be long.
    title: String,
}

/// A cursor, and the revision under which it is stored, if it is.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub cursor: Cursor,
    pub revision: Option<u64>,
    /// The store has not taken yet how far it was moved.
    pub is_owed: bool,
}

/// Since when a hook is told.
#[derive(Serialize, Deserialize)]
struct Since {
    since: String,
}

/// The cursors of a hook. Cheap to clone.
#[derive(Clone)]
pub(super) struct Cursors {
    kv: Arc<dyn Kv>,
    log: Arc<dyn EventLog>,
    history: Arc<History>,
    hook: HookId,
    since: Arc<str>,
}

impl Told {
    pub fn of(entry: &ConversationState) -> Self {
        let title = entry.record().title.clone().unwrap_or_default();
        let digest = hex(Sha256::digest(title).get(..8).unwrap_or_default());
        Self { noted: entry.with_projection(|projection| projection.noted), title: digest }
    }
}

impl Cursor {
    /// Whether there is something behind it.
    pub fn is_behind(&self, entry: &ConversationState) -> bool {
        self.at < entry.seq()
    }

    /// Events behind it, as the worker numbers them: good to guess whether they fill a call, and for nothing else.
    pub fn unsent(&self, entry: &ConversationState) -> u64 {
        entry.events().saturating_sub(self.events)
    }

    /// Moves on to behind what was delivered, and never back.
    pub fn deliver(&mut self, at: Seq, events: u64) {
        if self.at < at {
            (self.at, self.events) = (at, events);
        }
    }

    /// Notes as which the conversation was told last.
    pub fn tell(&mut self, told: &Told) {
        self.told = Some(told.clone());
    }

    /// What another one knows, too, unless this knows a later state.
    pub fn take_over(&mut self, other: &Self) {
        self.deliver(other.at, other.events);
        if self.noted() <= other.noted() {
            self.told.clone_from(&other.told);
        }
    }

    fn noted(&self) -> Option<Seq> {
        self.told.as_ref().map(|told| told.noted)
    }

    /// Whether the conversation itself is to be told.
    pub fn is_untold(&self, entry: &ConversationState) -> bool {
        let now = Told::of(entry);
        self.told.as_ref().is_none_or(|told| told.noted < now.noted || told.title != now.title)
    }
}

impl Known {
    /// What both know of one conversation.
    pub fn and(self, other: Self) -> Self {
        let (newer, older) = if self.revision > other.revision { (self, other) } else { (other, self) };
        if !older.is_owed {
            return newer;
        }
        let mut cursor = newer.cursor.clone();
        cursor.deliver(older.cursor.at, older.cursor.events);
        // A title does not change what was noted: of two at one point the newer one counts.
        if cursor.noted() < older.cursor.noted() {
            cursor.told = older.cursor.told;
        }
        // Where the newer one says as much, it is paid.
        let is_owed = newer.is_owed || cursor != newer.cursor;
        Self { cursor, is_owed, ..newer }
    }
}

impl Cursors {
    /// Those of a hook, from now on if there was none of its name before.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(
        kv: Arc<dyn Kv>,
        log: Arc<dyn EventLog>,
        history: Arc<History>,
        hook: HookId,
    ) -> Result<Self> {
        let now = Since { since: types::time::utc_now() };
        let since = {
            let bucket = Bucket::<Since>::new(kv.as_ref(), WEBHOOKS);
            match bucket.get(&hook.0).await? {
                Some(stored) => stored.value.since,
                None if bucket.make(&hook.0, &now).await?.is_some() => now.since,
                None => bucket.get(&hook.0).await?.map_or(now.since, |stored| stored.value.since),
            }
        };
        Ok(Self { kv, log, history, hook, since: since.into() })
    }

    /// Whether a conversation was there before the hook was.
    pub fn is_older(&self, entry: &ConversationState) -> bool {
        *entry.created_at() < *self.since
    }

    /// Whether something may be to tell of a conversation without a cursor.
    pub fn may_be_new(&self, entry: &ConversationState) -> bool {
        let touched = entry.with_projection(|projection| projection.touched.clone());
        let touched = touched.as_deref().and_then(types::time::local_as_utc);
        !self.is_older(entry) || touched.is_some_and(|touched| *touched >= *self.since)
    }

    /// # Errors
    /// Those of the store.
    pub async fn known(&self, entry: &ConversationState) -> Result<Known> {
        let stored = self.kv.get(WEBHOOKS, &key(&self.hook, entry)).await?;
        let revision = stored.as_ref().map(|stored| stored.revision);
        let cursor = match stored.map(|stored| serde_json::from_slice(&stored.value)) {
            Some(Ok(cursor)) => cursor,
            None => self.first(entry).await?,
            Some(Err(error)) => {
                tracing::warn!(conversation.id = %entry.id, %error,
                    "it cannot be read how far a webhook was told, it is told from the beginning");
                self.first(entry).await?
            }
        };
        Ok(Known { cursor, revision, is_owed: false })
    }

    /// Moves a cursor; `change` only ever moves it on. `None`: the conversation was deleted meanwhile, and the cursor with it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn change(
        &self,
        entry: &ConversationState,
        known: &Known,
        change: impl Fn(&mut Cursor),
    ) -> Result<Option<Known>> {
        let stored = |revision| Versioned { value: known.cursor.clone(), revision };
        let is_stored = known.revision.is_some();
        let (bucket, key) = (self.bucket(), key(&self.hook, entry));
        let changed = bucket.change_from(known.revision.map(stored), &key, |cursor| {
            if cursor.is_none() && is_stored {
                return false;
            }
            let cursor = cursor.get_or_insert_with(|| known.cursor.clone());
            let before = cursor.clone();
            change(cursor);
            *cursor != before || !is_stored || known.is_owed
        });
        let known =
            |Versioned { value, revision }| Known { cursor: value, revision: Some(revision), is_owed: false };
        Ok(changed.await?.map(known))
    }

    /// Where a hook begins that was never told of the conversation: with its first event, or with the first one since there
    /// is the hook.
    async fn first(&self, entry: &ConversationState) -> Result<Cursor> {
        if !self.is_older(entry) {
            return Ok(Cursor::default());
        }
        let end = entry.with_projection(|end| Cursor { at: end.seq, events: end.events, told: None });
        if !self.may_be_new(entry) {
            return Ok(end);
        }
        let Some(since) = Moment::of_bound(&self.since) else { return Ok(end) };
        let Some(at) = self.history.before_time(entry, since).await? else { return Ok(end) };
        let next = self.log.read(&entry.log, at, 1).await?;
        match next.first().map(|record| shown(&record.payload)) {
            Some(Shown::Event { n, .. }) => Ok(Cursor { at, events: n, told: None }),
            _ => Ok(end),
        }
    }

    fn bucket(&self) -> Bucket<'_, Cursor> {
        Bucket::new(self.kv.as_ref(), WEBHOOKS)
    }
}

/// Of one conversation, and of none that has its id before or after it.
pub(super) fn key(hook: &HookId, entry: &ConversationState) -> String {
    let made_at: String = entry.created_at().chars().filter(char::is_ascii_digit).collect();
    format!("{}.{}.{made_at}", hook.0, entry.id.hex())
}

/// The conversation of a key, if it is one of this hook; `rest`: whether something stands behind that.
pub(super) fn conversation_of(hook: &HookId, key: &str) -> Option<ConversationId> {
    let rest = key.strip_prefix(&hook.0)?.strip_prefix('.')?;
    rest.split('.').next()?.parse().ok()
}
