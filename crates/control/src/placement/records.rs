//! The records of sandboxes that gateways write.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt;
use ports::{Bucket, Change, Error, Kv, KvEntry, Versioned};
use serde::Deserialize;
use types::buckets::{CONVERSATIONS, PLACES, SANDBOXES};
use types::placement::Wanted;
use types::{ConversationId, SandboxId};

/// What is wanted of each sandbox.
pub(super) fn sandboxes(kv: &dyn Kv) -> Bucket<'_, Wanted> {
    Bucket::new(kv, SANDBOXES)
}

/// Which sandbox stands for each place.
pub(super) fn places(kv: &dyn Kv) -> Bucket<'_, SandboxId> {
    Bucket::new(kv, PLACES)
}

/// Changes what is wanted of a sandbox that has a record; `change` says whether there is anything to write. Answers
/// the record as it is then; `None` without one.
///
/// # Errors
/// Those of the store.
pub(super) async fn change(
    kv: &dyn Kv,
    sandbox: &SandboxId,
    mut change: impl FnMut(&mut Wanted) -> bool,
) -> ports::Result<Option<Versioned<Wanted>>> {
    sandboxes(kv).change(sandbox.as_str(), |wanted| wanted.as_mut().is_some_and(&mut change)).await
}

/// Whether the record of a conversation names the sandbox.
///
/// # Errors
/// As [`used_of`].
pub(super) async fn is_any_conversation_in(kv: &dyn Kv, sandbox: &SandboxId) -> ports::Result<bool> {
    Ok(!used_of(kv, |named| named == sandbox).await?.is_empty())
}

/// Whether the record of this conversation is there and names the sandbox.
///
/// # Errors
/// As [`used_of`].
pub(super) async fn is_conversation_in(
    kv: &dyn Kv,
    id: ConversationId,
    sandbox: &SandboxId,
) -> ports::Result<bool> {
    let Some(stored) = kv.get(CONVERSATIONS, &id.hex()).await? else { return Ok(false) };
    Ok(located(&stored)? == *sandbox)
}

/// Those of the sandboxes in question that records of conversations name.
///
/// # Errors
/// Those of the store; `Internal` for a record that cannot be read: then nobody knows.
pub(super) async fn used_of(
    kv: &dyn Kv,
    is_in_question: impl Fn(&SandboxId) -> bool,
) -> ports::Result<HashSet<SandboxId>> {
    let (mut found, mut records) = (HashMap::new(), kv.scan(CONVERSATIONS));
    while let Some(change) = records.try_next().await? {
        match change {
            Change::Put { key, entry } => {
                let sandbox = located(&entry)?;
                match is_in_question(&sandbox) {
                    true => drop(found.insert(key, sandbox)),
                    false => drop(found.remove(&key)),
                }
            }
            Change::Deleted { key } => drop(found.remove(&key)),
            Change::Lagged => {}
        }
    }
    Ok(found.into_values().collect())
}

/// The sandbox of a stored conversation.
///
/// # Errors
/// `Internal` where it cannot be read.
pub(crate) fn located(record: &KvEntry) -> ports::Result<SandboxId> {
    #[derive(Deserialize)]
    struct Located {
        sandbox: SandboxId,
    }
    let located: Located =
        serde_json::from_slice(&record.value).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(located.sandbox)
}
