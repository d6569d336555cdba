//! Claims on keys, by compare-and-set.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use memchr::memchr;
use parking_lot::Mutex;
use ports::mutants::{self, Mutant};
use ports::{Bucket, Error, Kv, Unchanged, Update, Value, Versioned};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use types::buckets::{IDEMPOTENCY, lifetime};
use types::time::unix_ms;
use uuid::Uuid;

use super::answer::{AnswerHead, KeptAnswer};
use super::attempt::Attempt;

/// A claim that was not renewed for this long, as far as was seen here, is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(15);

/// Claims of others that are remembered. To forget them costs patience alone.
const REMEMBERED: usize = 10_000;

/// What came of a wish to perform a call.
pub(super) enum Claimed {
    Mine(Claim),
    Answered(KeptAnswer),
    UnderWay,
    /// The key stands for a call with another fingerprint.
    OtherCall,
}

/// The right to perform a call, until it is finished, released, or not kept up.
pub(super) struct Claim {
    kv: Arc<dyn Kv>,
    name: String,
    slip: Slip,
    revision: u64,
    again: bool,
}

/// What is kept of a key: a slip as a line of JSON, then the body of the answer if there is one.
#[derive(Clone)]
pub(super) struct Kept {
    slip: Slip,
    body: Bytes,
}

#[derive(Clone, Serialize, Deserialize)]
struct Slip {
    fingerprint: String,
    /// Unix milliseconds of this writing, by the clock of who wrote it.
    at: u64,
    /// Of what the call creates: chosen by the first claim and kept by all after it.
    creates: Uuid,
    #[serde(flatten)]
    state: State,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    Running {
        by: Uuid,
    },
    /// Nothing came of it that would be worth keeping; perhaps it acted.
    Released,
    Finished(AnswerHead),
}

/// The claims of others that were met here, each with its last writing: one that is kept up is written again and again. Cheap
/// to clone.
#[derive(Clone, Default)]
pub struct Met(Arc<Mutex<HashMap<String, Unchanged<Writing>>>>);

/// What is different after each renewal of a claim.
type Writing = (Uuid, u64);

impl Met {
    /// How long a claim has not been renewed, as far as is known here.
    fn age(&self, name: &str, writing: Writing) -> Duration {
        let mut met = self.0.lock();
        if met.len() >= REMEMBERED && !met.contains_key(name) {
            met.clear();
        }
        met.entry(name.to_owned()).or_default().age(writing, Instant::now().into_std())
    }

    fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

/// What is kept of all keys.
pub(super) fn all(kv: &dyn Kv) -> Bucket<'_, Kept> {
    Bucket::new(kv, IDEMPOTENCY)
}

/// Claims `name` for a call, unless it was answered or somebody performs it.
///
/// # Errors
/// Those of the store.
pub(super) async fn claim(
    kv: &Arc<dyn Kv>,
    met: &Met,
    name: &str,
    fingerprint: &str,
) -> ports::Result<Claimed> {
    let state = State::Running { by: Uuid::new_v4() };
    let fresh = Slip { fingerprint: fingerprint.to_owned(), at: unix_ms(), creates: Uuid::new_v4(), state };
    let (mut again, mut other) = (false, None);
    let take = |kept: &mut Option<Kept>| {
        let known = kept.as_ref().filter(|kept| !kept.slip.is_expired());
        other = known.and_then(|kept| kept.keeps_off(fingerprint, |writing| met.age(name, writing)));
        if other.is_some() {
            return false;
        }
        again = known.is_some();
        let creates = known.map_or(fresh.creates, |kept| kept.slip.creates);
        *kept = Some(Kept { slip: Slip { creates, ..fresh.clone() }, body: Bytes::new() });
        true
    };
    // Most keys are new.
    let stored = all(kv.as_ref()).change_from(None, name, take).await?;
    if let Some(other) = other {
        return Ok(other);
    }
    met.forget(name);
    let Some(Versioned { value: Kept { slip, .. }, revision }) = stored else { return Ok(Claimed::UnderWay) };
    Ok(Claimed::Mine(Claim { kv: kv.clone(), name: name.to_owned(), slip, revision, again }))
}

impl Claim {
    pub fn attempt(&self) -> Attempt {
        Attempt::new(self.slip.creates, self.again)
    }

    /// Renews the claim for as long as it is waited for.
    ///
    /// # Cancel safety
    /// Dropping it loses at most a renewal.
    pub async fn keep(&mut self) -> Infallible {
        loop {
            tokio::time::sleep(RENEWAL).await;
            self.write(self.slip.state.clone(), &Bytes::new()).await;
        }
    }

    /// Stores the answer for whoever calls again.
    pub async fn finish(mut self, answer: &KeptAnswer) {
        self.write(State::Finished(answer.head.clone()), &answer.body).await;
    }

    /// Lets the next to call perform it.
    pub async fn release(mut self) {
        self.write(State::Released, &Bytes::new()).await;
    }

    /// What the store does not take is not kept: the client has its answer all the same.
    async fn write(&mut self, state: State, body: &Bytes) {
        let slip = Slip { at: unix_ms(), state, ..self.slip.clone() };
        if let Err(error) = self.store(&slip, body).await {
            tracing::warn!(%error, "what became of a call with an Idempotency-Key is not kept");
        }
    }

    /// A renewal that was given up may have been written: then it is not somebody else who wrote.
    async fn store(&mut self, slip: &Slip, body: &Bytes) -> ports::Result<()> {
        let believed = Versioned {
            value: Kept { slip: self.slip.clone(), body: Bytes::new() },
            revision: self.revision,
        };
        let mut is_mine = true;
        let renew = |kept: &mut Option<Kept>| {
            is_mine = kept.as_ref().is_some_and(|kept| kept.slip.is_same_claim(&self.slip));
            if is_mine {
                *kept = Some(Kept { slip: slip.clone(), body: body.clone() });
            }
            is_mine
        };
        let stored = all(self.kv.as_ref()).change_from(Some(believed), &self.name, renew).await?;
        let stored = stored.filter(|_| is_mine).ok_or(Error::Conflict { tail: None })?;
        self.revision = stored.revision;
        Ok(())
    }
}

impl Kept {
    /// What keeps another off who has the key as well; `None` where nobody acts for it any more.
    fn keeps_off(&self, fingerprint: &str, age: impl FnOnce(Writing) -> Duration) -> Option<Claimed> {
        if self.slip.fingerprint != fingerprint {
            return Some(Claimed::OtherCall);
        }
        match &self.slip.state {
            State::Finished(head) => {
                Some(Claimed::Answered(KeptAnswer { head: head.clone(), body: self.body.clone() }))
            }
            State::Running { by } => (age((*by, self.slip.at)) < ABANDONED).then_some(Claimed::UnderWay),
            State::Released => None,
        }
    }
}

impl Value for Kept {
    fn encode(&self) -> ports::Result<Bytes> {
        let mut value = serde_json::to_vec(&self.slip).map_err(|error| Error::Internal(error.to_string()))?;
        value.push(b'\n');
        value.extend_from_slice(&self.body);
        Ok(value.into())
    }

    fn decode(stored: &Bytes) -> ports::Result<Self> {
        let damaged = || Error::Internal("a kept answer cannot be read".to_owned());
        let line = memchr(b'\n', stored).ok_or_else(damaged)?;
        let slip = serde_json::from_slice(&stored.slice(..line)).map_err(|_| damaged())?;
        Ok(Self { slip, body: stored.slice(line + 1..) })
    }
}

impl Slip {
    fn age(&self) -> Duration {
        Duration::from_millis(unix_ms().saturating_sub(self.at))
    }

    fn is_expired(&self) -> bool {
        let is_freed = mutants::is(Mutant::FreedKey) && !matches!(self.state, State::Finished(_));
        is_freed || lifetime(IDEMPOTENCY).is_some_and(|limit| self.age() >= limit)
    }

    fn is_same_claim(&self, other: &Self) -> bool {
        match (&self.state, &other.state) {
            (State::Running { by }, State::Running { by: other }) => by == other,
            _ => false,
        }
    }
}

/// The key and the revision of what is to be removed: what is past its time, or cannot be read.
pub(super) fn expired(update: Update<Kept>) -> Option<(String, u64)> {
    match update {
        Update::Put { key, stored } => stored.value.slip.is_expired().then_some((key, stored.revision)),
        Update::Damaged { key, revision, .. } => Some((key, revision)),
        Update::Deleted { .. } | Update::Lagged => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_claim_is_taken_over_by_who_saw_that_it_is_not_renewed_whatever_the_clocks_say() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let met = Met::default();
        let again = async || claim(&ports.kv, &met, "name", "print").await.unwrap();
        let Claimed::Mine(mut first) = again().await else { panic!("it was free") };
        // As a gateway writes it whose clock is hours behind, or ahead.
        let hours = |at: u64| Slip { at, ..first.slip.clone() };
        let (behind, ahead) = (hours(unix_ms() - 7_200_000), hours(unix_ms() + 7_200_000));
        // The disk answers in its own time.
        let pass = async |time| {
            tokio::time::pause();
            tokio::time::advance(time).await;
            tokio::time::resume();
        };
        for slip in [behind, ahead] {
            first.store(&slip, &Bytes::new()).await.unwrap();
            assert!(matches!(again().await, Claimed::UnderWay), "it was kept up a moment ago");
            pass(ABANDONED / 2).await;
            assert!(matches!(again().await, Claimed::UnderWay));
        }
        pass(ABANDONED / 2).await;
        let Claimed::Mine(second) = again().await else { panic!("nobody keeps it up") };
        assert_eq!((second.again, second.slip.creates), (true, first.slip.creates));
        assert!(met.0.lock().is_empty());
    }
}
