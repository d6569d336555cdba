//! The records of sandboxes that gateways write.

use std::time::{SystemTime, UNIX_EPOCH};

use ports::buckets::{PLACES, SANDBOXES};
use ports::{Bucket, Kv};
use types::SandboxId;
use types::placement::Wanted;

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
) -> ports::Result<Option<Wanted>> {
    let changed =
        sandboxes(kv).change(sandbox.as_str(), |wanted| wanted.as_mut().is_some_and(&mut change)).await?;
    Ok(changed.map(|stored| stored.value))
}

/// Unix milliseconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
