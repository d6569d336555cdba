//! Claims on keys, by compare-and-set.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use memchr::memchr;
use ports::buckets::{IDEMPOTENCY, lifetime};
use ports::{Error, Expect, Kv};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::answer::{AnswerHead, KeptAnswer};
use super::attempt::Attempt;

/// A claim that was not renewed for this long is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(15);

/// How often a write that lost against another is tried again.
const ATTEMPTS: usize = 8;

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

/// What is kept of a key: this as a line of JSON, then the answer's body.
#[derive(Clone, Serialize, Deserialize)]
struct Slip {
    fingerprint: String,
    /// Unix milliseconds of this writing.
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

/// Claims `name` for a call, unless it was answered or somebody performs it.
///
/// # Errors
/// Those of the store.
pub(super) async fn claim(kv: &Arc<dyn Kv>, name: &str, fingerprint: &str) -> ports::Result<Claimed> {
    let state = State::Running { by: Uuid::new_v4() };
    let mut slip = Slip { fingerprint: fingerprint.to_owned(), at: now(), creates: Uuid::new_v4(), state };
    let (mut expect, mut again) = (Expect::Absent, false);
    for _ in 0..ATTEMPTS {
        match kv.put(IDEMPOTENCY, name, slip.encode(&[])?, expect).await {
            Ok(revision) => {
                return Ok(Claimed::Mine(Claim {
                    kv: kv.clone(),
                    name: name.to_owned(),
                    slip,
                    revision,
                    again,
                }));
            }
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
        let Some(stored) = kv.get(IDEMPOTENCY, name).await? else {
            expect = Expect::Absent;
            continue;
        };
        let (known, body) = Slip::decode(&stored.value)?;
        expect = Expect::Revision(stored.revision);
        if known.is_expired() {
            continue;
        }
        if known.fingerprint != fingerprint {
            return Ok(Claimed::OtherCall);
        }
        match known.state {
            State::Finished(head) => return Ok(Claimed::Answered(KeptAnswer { head, body })),
            State::Running { .. } if known.age() < ABANDONED => return Ok(Claimed::UnderWay),
            State::Running { .. } | State::Released => {
                slip.creates = known.creates;
                again = true;
            }
        }
    }
    Ok(Claimed::UnderWay)
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
            self.write(self.slip.state.clone(), &[]).await;
        }
    }

    /// Stores the answer for whoever calls again.
    pub async fn finish(mut self, answer: &KeptAnswer) {
        self.write(State::Finished(answer.head.clone()), &answer.body).await;
    }

    /// Lets the next to call perform it.
    pub async fn release(mut self) {
        self.write(State::Released, &[]).await;
    }

    /// What the store does not take is not kept: the client has its answer all the same.
    async fn write(&mut self, state: State, body: &[u8]) {
        let slip = Slip { at: now(), state, ..self.slip.clone() };
        if let Err(error) = self.store(&slip, body).await {
            tracing::warn!(%error, "what became of a call with an Idempotency-Key is not kept");
        }
    }

    async fn store(&mut self, slip: &Slip, body: &[u8]) -> ports::Result<()> {
        let value = slip.encode(body)?;
        for _ in 0..ATTEMPTS {
            let expect = Expect::Revision(self.revision);
            match self.kv.put(IDEMPOTENCY, &self.name, value.clone(), expect).await {
                Ok(revision) => {
                    self.revision = revision;
                    return Ok(());
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
            // A renewal that was given up may have been written.
            let stored = self.kv.get(IDEMPOTENCY, &self.name).await?.ok_or(Error::NotFound)?;
            if !Slip::decode(&stored.value)?.0.is_same_claim(&self.slip) {
                return Err(Error::Conflict { tail: None });
            }
            self.revision = stored.revision;
        }
        Err(Error::Unavailable("the claim is changed too often".to_owned()))
    }
}

impl Slip {
    fn encode(&self, body: &[u8]) -> ports::Result<Bytes> {
        let mut value = serde_json::to_vec(self).map_err(|error| Error::Internal(error.to_string()))?;
        value.push(b'\n');
        value.extend_from_slice(body);
        Ok(value.into())
    }

    fn decode(value: &Bytes) -> ports::Result<(Self, Bytes)> {
        let damaged = || Error::Internal("a kept answer cannot be read".to_owned());
        let line = memchr(b'\n', value).ok_or_else(damaged)?;
        let slip = serde_json::from_slice(&value.slice(..line)).map_err(|_| damaged())?;
        Ok((slip, value.slice(line + 1..)))
    }

    fn age(&self) -> Duration {
        Duration::from_millis(now().saturating_sub(self.at))
    }

    fn is_expired(&self) -> bool {
        lifetime(IDEMPOTENCY).is_some_and(|limit| self.age() >= limit)
    }

    fn is_same_claim(&self, other: &Self) -> bool {
        match (&self.state, &other.state) {
            (State::Running { by }, State::Running { by: other }) => by == other,
            _ => false,
        }
    }
}

/// Whether what is kept of a key is to be removed; also when it cannot be read.
pub(super) fn is_expired(value: &Bytes) -> bool {
    Slip::decode(value).map_or(true, |(slip, _)| slip.is_expired())
}

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
