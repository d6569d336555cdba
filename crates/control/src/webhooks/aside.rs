//! Puts aside what a webhook is still to be told of a conversation, before its log goes.

use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use ports::retry::{Backoff, while_unavailable};
use ports::{Error, EventLog, Expect, LARGEST, Result, Versioned};
use readmodel::index::ConversationState;
use serde_json::Value;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
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
/// A store that has not answered by then is away, not full.
const ANSWER: Duration = Duration::from_secs(4);
/// So often in a row, with the record taken in between, and there is no room.
const TRIES: usize = 2;
/// Pieces that are removed at one time.
const AT_ONCE: usize = 8;

/// What is put aside for one hook.
pub(super) struct Aside<'a> {
    pub hook: &'a Hook,
    pub cursors: &'a Cursors,
    pub endings: &'a Endings,
    pub log: &'a dyn EventLog,
    pub path: &'a Path,
}

/// The record before a try.
struct Begun {
    ending: Ending,
    revision: u64,
    /// It has only been put there.
    is_new: bool,
    /// Where events can be added to it.
    is_whole: bool,
}

/// What a try has put into pieces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// All there was.
    Whole,
    /// As much as is kept.
    Part,
    /// The store has said no, and may say something else.
    Refused,
    /// It has no room.
    Full,
}

/// What came of the record of a try.
enum Named {
    Yes,
    /// Somebody else has written it.
    Changed,
    Refused,
}

impl Aside<'_> {
    /// Puts aside the end of a conversation. What an earlier try has put aside stays, and is gone on with. Whether all of the
    /// events are kept.
    ///
    /// A store without room takes the small record, and again no events behind it, and the conversation has to go all the same:
    /// then none of this try are kept, which leaves the deletion its room. One that does not take the record, or that gives no
    /// answer, is away.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put(&self, entry: &ConversationState) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        let key = cursor::key(&self.endings.hook, entry);
        let info = told::end(entry, self.path).map_err(|error| Error::Internal(error.to_string()))?;
        let mut refusals = 0;
        while Instant::now() < deadline {
            let Some(begun) = self.begin(entry, &key, &info, deadline).await? else { continue };
            if !begun.is_whole {
                return Ok(false);
            }
            let (mut ending, mut run) = (begun.ending.clone(), Run::new());
            let filling = timeout_at(deadline, self.fill(entry, &key, &mut ending, &mut run)).await;
            let filled = match possible(entry, filling) {
                Ok(filled) => filled.unwrap_or(Filled::Part),
                Err(away) => {
                    self.discard(&key, &run).await;
                    return Err(away);
                }
            };
            let named = match filled {
                Filled::Refused | Filled::Full => Named::Refused,
                Filled::Whole | Filled::Part if begun.is_new && !ending.names(&run) => Named::Yes,
                Filled::Whole | Filled::Part => self.name(&key, &ending, &run, begun.revision).await?,
            };
            match named {
                Named::Yes => return Ok(filled == Filled::Whole),
                // Or has just told its end: it is looked up again what there is.
                Named::Changed => self.discard(&key, &run).await,
                Named::Refused => {
                    refusals += 1;
                    let is_back = self.go_back(&key, &begun, &run).await?;
                    if is_back && (filled == Filled::Full || refusals >= TRIES) {
                        return Ok(false);
                    }
                }
            }
        }
        Err(Error::Unavailable(
            "it cannot be put aside in time: others do the same, or the store is slow".to_owned(),
        ))
    }

    /// The record that there is, or one without events. It comes before the pieces: what does not take it is away, and what is
    /// full has room for it then. `None`: somebody else has just written it.
    async fn begin(
        &self,
        entry: &ConversationState,
        key: &str,
        info: &Value,
        deadline: Instant,
    ) -> Result<Option<Begun>> {
        let stored = self.endings.get(key).await?;
        let life = possible(entry, timeout_at(deadline, Life::of(self.log, &entry.log)).await)?;
        if let Some(Versioned { value, revision }) = stored {
            let mut ending = value.again(info.clone());
            let of_this_log = life.map(|life| (ending.pieces_of(&life), life));
            let mut is_whole = true;
            if let Some((pieces, life)) = of_this_log
                && self.lacks_any(key, pieces).await?
            {
                let told = self.told(entry, deadline).await?;
                is_whole = told.is_some();
                ending.begin_anew(told.unwrap_or_default(), &life);
            }
            return Ok(Some(Begun { ending, revision, is_new: false, is_whole }));
        }
        // What is put aside is behind what was told.
        let told = self.told(entry, deadline).await?;
        let is_whole = life.is_some() && told.is_some();
        let from = (told.unwrap_or_default(), life.unwrap_or_default());
        let ending = Ending::new(info.clone(), &entry.created_at(), from);
        let stored = self.endings.put(key, &ending, Expect::Absent).await?;
        Ok(stored.map(|revision| Begun { ending, revision, is_new: true, is_whole }))
    }

    /// How far it was told. `None`: it cannot be known in time.
    async fn told(&self, entry: &ConversationState, deadline: Instant) -> Result<Option<Seq>> {
        // The histories of others may be in the way.
        let known = while_unavailable(PAUSES, AGAIN, || self.cursors.known(entry));
        let known = possible(entry, timeout_at(deadline, known).await)?;
        Ok(known.map(|known| known.cursor.at))
    }

    /// Whether a piece is not there though it was not told: the record that names it was stored late, when whoever had written both had
    /// removed it.
    async fn lacks_any(&self, key: &str, pieces: Vec<String>) -> Result<bool> {
        let looks = pieces.into_iter().map(async |name| self.endings.piece(key, &name).await);
        let mut found = stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(piece) = found.try_next().await? {
            if piece.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the record name the run.
    async fn name(&self, key: &str, ending: &Ending, run: &Run, revision: u64) -> Result<Named> {
        let put = self.endings.put(key, ending, Expect::Revision(revision)).await;
        if matches!(put, Ok(Some(_))) {
            return Ok(Named::Yes);
        }
        // Its answer may have been lost. Where it cannot be known, the pieces stay.
        let named = self.endings.get(key).await?.is_some_and(|stored| stored.value.names(run));
        Ok(match put {
            _ if named => Named::Yes,
            Ok(_) => Named::Changed,
            Err(error) => {
                tracing::warn!(%error, "the record of what a webhook is still to be told is not written");
                Named::Refused
            }
        })
    }

    /// The record names nothing of the run, whatever is under way, and its pieces go. False where somebody has written it.
    async fn go_back(&self, key: &str, begun: &Begun, run: &Run) -> Result<bool> {
        let put = async |revision| {
            let stored = self.endings.put(key, &begun.ending, Expect::Revision(revision)).await?;
            Ok::<_, Error>(stored.is_some())
        };
        let naming = async || {
            let stored = self.endings.get(key).await?;
            Ok::<_, Error>(stored.filter(|stored| stored.value.names(run)))
        };
        let first = put(begun.revision).await;
        if matches!(first, Ok(false)) && naming().await?.is_some() {
            return Ok(false);
        }
        self.discard(key, run).await;
        if first.is_ok() {
            return first;
        }
        // There is room now. What was under way may have come meanwhile: then the record names what has gone.
        while_unavailable(PAUSES, AGAIN, async || {
            if put(begun.revision).await? {
                return Ok(true);
            }
            match naming().await? {
                Some(late) => put(late.revision).await,
                None => Ok(false),
            }
        })
        .await
    }

    /// Removes the pieces of a run that no record names. What cannot be removed now goes later.
    async fn discard(&self, key: &str, run: &Run) {
        let removing = stream::iter(run.names_of_all()).for_each_concurrent(AT_ONCE, async |name| {
            if let Err(error) = self.endings.remove_piece(key, &name).await {
                tracing::warn!(%error, "events that a webhook is not told stay for now");
            }
        });
        if timeout(PATIENCE, removing).await.is_err() {
            tracing::warn!("events that a webhook is not told stay for now: the store is too slow");
        }
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
            let put = async || match timeout(ANSWER, self.endings.put_piece(key, &name, batch.body.clone()))
                .await
            {
                Ok(outcome) => outcome.map(Some),
                Err(_) => Ok(None),
            };
            match while_unavailable(PAUSES, AGAIN, put).await {
                Ok(Some(())) => ending.add(run, (at, &life), batch.count, bytes),
                Ok(None) => return Err(Error::Unavailable("the store gives no answer".to_owned())),
                Err(Error::TooLarge(_)) => filled = Filled::Part,
                Err(error) => {
                    tracing::warn!(conversation.id = %entry.id, %error, "events are not put aside for a webhook");
                    return Ok(if matches!(error, Error::Full(_)) { Filled::Full } else { Filled::Refused });
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
