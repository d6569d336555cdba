//! Puts aside what a webhook is still to be told of a conversation, before its log goes.

use std::path::Path;
use std::time::Duration;

use ports::retry::{Backoff, while_unavailable};
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
use super::life::Life;
use super::told;

/// What is left for the names of a store around a piece.
const MARGIN: usize = 4 << 10;
/// How long a deletion waits for all of this.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one thing that the store does not do is tried again.
const AGAIN: Duration = Duration::from_secs(1);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(400));

/// What is put aside for one hook.
pub(super) struct Aside<'a> {
    pub hook: &'a Hook,
    pub cursors: &'a Cursors,
    pub endings: &'a Endings,
    pub log: &'a dyn EventLog,
    pub path: &'a Path,
}

/// What a try has put into pieces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// All there was.
    Whole,
    /// As much as is kept.
    Part,
    /// The store has no room for it.
    Refused,
}

impl Aside<'_> {
    /// Puts aside the end of a conversation. What an earlier try has put aside stays, and is gone on with. Whether all of the
    /// events are kept.
    ///
    /// A store that does not take events is full, and the conversation has to go all the same: then none of this try are kept,
    /// which leaves the deletion its room. Only where it does not take the small record either it is away.
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
            let Some(begun) = possible(entry, timeout_at(deadline, begun).await)? else {
                let bare = Ending::new(info.clone(), &entry.created_at(), Seq::ZERO);
                if self.endings.put(&key, &bare, expect).await? {
                    return Ok(false);
                }
                continue;
            };
            let (mut ending, mut run) = (begun.clone(), Run::new());
            let filling = timeout_at(deadline, self.fill(entry, &key, &mut ending, &mut run)).await;
            let filled = match possible(entry, filling) {
                Ok(Some(Filled::Refused)) => {
                    ending = begun.clone();
                    Filled::Refused
                }
                Ok(filled) => filled.unwrap_or(Filled::Part),
                Err(away) => {
                    self.discard(&key, &run).await;
                    return Err(away);
                }
            };
            if filled == Filled::Refused {
                self.discard(&key, &run).await;
            }
            if let Some(is_kept) = self.put_record(&key, (&begun, &ending), &run, expect).await? {
                return Ok(is_kept && filled == Filled::Whole);
            }
            // Somebody else deletes it as well, or has just told its end: it is looked up again what there is.
            self.discard(&key, &run).await;
        }
        Err(Error::Unavailable("others put the same aside all the time".to_owned()))
    }

    /// Has the record name the run, or else stay `begun`. Whether the run is kept; `None` where somebody else has written it.
    async fn put_record(
        &self,
        key: &str,
        (begun, ending): (&Ending, &Ending),
        run: &Run,
        expect: Expect,
    ) -> Result<Option<bool>> {
        match self.endings.put(key, ending, expect).await {
            Ok(true) => return Ok(Some(true)),
            Ok(false) => {}
            Err(error) if !ending.names(run) => return Err(error),
            // Whether or not it was stored, after this it is not any more.
            Err(_) if self.endings.put(key, begun, expect).await? => {
                self.discard(key, run).await;
                return Ok(Some(false));
            }
            Err(_) => {}
        }
        // Its answer may have been lost.
        let stored = self.endings.get(key).await?;
        Ok(stored.filter(|stored| stored.value.names(run)).map(|_| true))
    }

    /// Removes the pieces of a run that no record names. What cannot be removed now goes later.
    async fn discard(&self, key: &str, run: &Run) {
        for name in run.names_of_all() {
            if let Err(error) = self.endings.remove_piece(key, &name).await {
                tracing::warn!(%error, "events that a webhook is not told stay for now");
                return;
            }
        }
    }

    /// Where it goes on: behind what was told, and behind what was put aside already.
    async fn begin(&self, entry: &ConversationState, before: Option<Ending>, info: &Value) -> Result<Ending> {
        if let Some(before) = before {
            return Ok(before.again(info.clone()));
        }
        // The histories of others may be in the way.
        let known = while_unavailable(PAUSES, AGAIN, || self.cursors.known(entry)).await?;
        Ok(Ending::new(info.clone(), &entry.created_at(), known.cursor.at))
    }

    /// Adds the events behind it, as many as are kept.
    async fn fill(
        &self,
        entry: &ConversationState,
        key: &str,
        ending: &mut Ending,
        run: &mut Run,
    ) -> Result<Filled> {
        let (life, tail) = (Life::of(self.log, &entry.log).await?, self.log.tail(&entry.log).await?);
        let mut at = ending.goes_on(&life, tail);
        let mut filled = Filled::Whole;
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
                return Ok(filled);
            }
            if bounds.events == 0 || batch.body.len() > left {
                return Ok(Filled::Part);
            }
            at = batch.at;
            let (name, bytes) = (run.next(), batch.body.len());
            let put = || self.endings.put_piece(key, &name, batch.body.clone());
            match while_unavailable(PAUSES, AGAIN, put).await {
                Ok(()) => ending.add(run, (at, &life), batch.count, bytes),
                Err(Error::TooLarge(_)) => filled = Filled::Part,
                Err(error) => {
                    tracing::warn!(conversation.id = %entry.id, %error, "events are not put aside for a webhook");
                    return Ok(Filled::Refused);
                }
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
