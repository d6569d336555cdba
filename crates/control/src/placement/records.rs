//! The records of sandboxes that gateways write, each by compare-and-set.

use std::time::{SystemTime, UNIX_EPOCH};

use ports::buckets::{PLACES, SANDBOXES};
use ports::{Error, Expect, Kv, KvEntry};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::SandboxId;
use types::placement::Wanted;

/// How often a write that lost against another is tried again.
pub(super) const ATTEMPTS: usize = 16;

/// Changes what is wanted of a sandbox; `change` says whether there is anything to write, and is called again
/// when somebody else wrote first. Answers the record as it is then; `None` without one.
///
/// # Errors
/// Those of the store.
pub(super) async fn change(
    kv: &dyn Kv,
    sandbox: &SandboxId,
    mut change: impl FnMut(&mut Wanted) -> bool,
) -> ports::Result<Option<Wanted>> {
    for _ in 0..ATTEMPTS {
        let Some(entry) = kv.get(SANDBOXES, sandbox.as_str()).await? else { return Ok(None) };
        let mut wanted: Wanted = decode(&entry)?;
        if !change(&mut wanted) {
            return Ok(Some(wanted));
        }
        let put = kv.put(SANDBOXES, sandbox.as_str(), encode(&wanted)?, Expect::Revision(entry.revision));
        match put.await {
            Ok(_) => return Ok(Some(wanted)),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Unavailable("the sandbox is changed too often".to_owned()))
}

/// What is wanted of a sandbox; `None` without a record.
///
/// # Errors
/// Those of the store.
pub(super) async fn wanted(kv: &dyn Kv, sandbox: &SandboxId) -> ports::Result<Option<Wanted>> {
    kv.get(SANDBOXES, sandbox.as_str()).await?.map(|entry| decode(&entry)).transpose()
}

/// Makes the record of a sandbox; false if it has one.
///
/// # Errors
/// Those of the store.
pub(super) async fn make(kv: &dyn Kv, sandbox: &SandboxId, wanted: &Wanted) -> ports::Result<bool> {
    won(kv.put(SANDBOXES, sandbox.as_str(), encode(wanted)?, Expect::Absent).await)
}

/// The sandbox that stands for a place, and the revision that says so.
///
/// # Errors
/// Those of the store.
pub(super) async fn place(kv: &dyn Kv, key: &str) -> ports::Result<Option<(SandboxId, u64)>> {
    let Some(entry) = kv.get(PLACES, key).await? else { return Ok(None) };
    Ok(Some((decode(&entry)?, entry.revision)))
}

/// Says which sandbox stands for a place; false if somebody else said so first.
///
/// # Errors
/// Those of the store.
pub(super) async fn set_place(
    kv: &dyn Kv,
    key: &str,
    sandbox: &SandboxId,
    expect: Expect,
) -> ports::Result<bool> {
    won(kv.put(PLACES, key, encode(sandbox)?, expect).await)
}

/// Unix milliseconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn won(outcome: ports::Result<u64>) -> ports::Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(Error::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn encode<T: Serialize>(value: &T) -> ports::Result<bytes::Bytes> {
    serde_json::to_vec(value).map(Into::into).map_err(|error| Error::Internal(error.to_string()))
}

fn decode<T: DeserializeOwned>(entry: &KvEntry) -> ports::Result<T> {
    serde_json::from_slice(&entry.value)
        .map_err(|error| Error::Internal(format!("a sandbox's record: {error}")))
}
