//! Puts aside what a webhook is still to be told of a conversation, before its log goes.

use std::path::Path;
use std::time::Duration;

use ports::{Error, EventLog, Expect, LARGEST, Result};
use readmodel::index::ConversationState;
use serde_json::Value;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};
use types::Seq;

use super::batch::{self, Bounds};
use super::cursor::{self, Cursors};
use super::ending::{Ending, Endings, Run};
use super::hook::Hook;
use super::told;

/// What is left for the names of a store around a piece.
const MARGIN: usize = 4 << 10;
/// How long a deletion waits for all of this.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is put aside for one hook.
pub(super) struct Aside<'a> {
    pub hook: &'a Hook,
    pub cursors: &'a Cursors,
    pub endings: &'a Endings,
    pub log: &'a dyn EventLog,
    pub path: &'a Path,
}

impl Aside<'_> {
    /// Puts aside the end of a conversation. What an earlier try has put aside stays, and is gone on with. Whether all of the
    /// events are kept.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put(&self, entry: &ConversationState) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        let key = cursor::key(&self.endings.hook, entry);
        let info = told::end(entry, self.path).map_err(|error| Error::Internal(error.to_string()))?;
        while Instant::now() < deadline {
            let before = self.endings.get(&key).await?;
            let expect = before.as_ref().map_or(Expect::Absent, |before| Expect::Revision(before.revision));
            let begun = self.begin(entry, before.map(|before| before.value), &info);
            let (ending, is_whole) = match possible(entry, timeout_at(deadline, begun).await)? {
                None => (Ending::new(info.clone(), &entry.created_at(), Seq::ZERO), false),
                Some(mut ending) => {
                    let filled = timeout_at(deadline, self.fill(entry, &key, &mut ending)).await;
                    (ending, possible(entry, filled)? == Some(true))
                }
            };
            if self.endings.put(&key, &ending, expect).await? {
                return Ok(is_whole);
            }
            // Somebody else deletes it as well, or has just told its end: it is looked up again what there is.
            for name in ending.last_run().into_iter().flat_map(Run::names) {
                self.endings.remove_piece(&key, &name).await?;
            }
        }
        Err(Error::Unavailable("others put the same aside all the time".to_owned()))
    }

    /// Where it goes on: behind what was told, and behind what was put aside already.
    async fn begin(&self, entry: &ConversationState, before: Option<Ending>, info: &Value) -> Result<Ending> {
        if let Some(before) = before {
            return Ok(before.again(info.clone(), Run::new()));
        }
        let at = self.cursors.known(entry).await?.cursor.at;
        Ok(Ending::new(info.clone(), &entry.created_at(), at).again(info.clone(), Run::new()))
    }

    /// Adds the events behind it, as many as are kept. Whether these are all of them.
    async fn fill(&self, entry: &ConversationState, key: &str, ending: &mut Ending) -> Result<bool> {
        let mut at = ending.at;
        // A log that was removed begins anew.
        if self.log.tail(&entry.log).await? < at {
            at = Seq::ZERO;
        }
        let mut is_whole = true;
        loop {
            let left = self.hook.max_queue_bytes.saturating_sub(ending.bytes);
            let bounds = Bounds {
                events: self
                    .hook
                    .event_buffer_size
                    .min(self.hook.max_queue_size.saturating_sub(ending.events)),
                bytes: self.hook.max_batch_bytes.min(LARGEST.saturating_sub(MARGIN)).min(left),
            };
            let batch = batch::next(self.log, &entry.log, (at, 0), bounds, None).await?;
            if batch.count == 0 {
                return Ok(is_whole);
            }
            if bounds.events == 0 || batch.body.len() > left {
                return Ok(false);
            }
            at = batch.at;
            let Some(name) = ending.last_run().map(Run::next) else { return Ok(false) };
            let bytes = batch.body.len();
            match self.endings.put_piece(key, &name, batch.body).await {
                Ok(()) => ending.add(at, batch.count, bytes),
                Err(Error::TooLarge(_)) => is_whole = false,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Only a store that is away keeps a conversation from being deleted: that is deleted again when it is back. `None`: it cannot be
/// done, or takes too long.
fn possible<T>(
    entry: &ConversationState,
    done: std::result::Result<Result<T>, Elapsed>,
) -> Result<Option<T>> {
    let error = match done {
        Ok(Ok(done)) => return Ok(Some(done)),
        Ok(Err(error @ Error::Unavailable(_))) => return Err(error),
        Ok(Err(error)) => error.to_string(),
        Err(elapsed) => elapsed.to_string(),
    };
    tracing::warn!(conversation.id = %entry.id, error, "what a webhook is still to be told is not put aside");
    Ok(None)
}
