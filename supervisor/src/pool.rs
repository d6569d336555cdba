//! The warm pool: sandboxes nobody has claimed yet, running. It never takes room that tenants need.

use ports::{Error, Expect, Kv, Result};
use types::SandboxId;
use types::buckets::SANDBOXES;
use types::placement::{Want, Wanted};

use crate::act::Actor;
use crate::moment::Moment;
use crate::records;
use crate::view::View;

/// Makes or gives up unclaimed sandboxes until there are `size`, or as many as `room` allows; answers whether
/// there was anything to do.
///
/// # Errors
/// As [`Kv::put`]; one that was claimed meanwhile is no error.
pub async fn fill(
    actor: &Actor,
    views: impl Iterator<Item = &View>,
    size: usize,
    room: usize,
    now: Moment,
) -> Result<bool> {
    let unclaimed: Vec<&View> =
        views.filter(|view| view.wants_running() && view.tenant().is_none()).collect();
    let target = size.min(room);
    for _ in unclaimed.len()..target {
        add(actor.kv.as_ref(), now).await?;
    }
    for view in unclaimed.iter().skip(target) {
        match actor.want(Want::Deleted, view).await {
            Ok(()) | Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(unclaimed.len() != target)
}

async fn add(kv: &dyn Kv, now: Moment) -> Result<()> {
    let unclaimed = Wanted { want: Want::Running, touched_at: now.unix_ms, ..Wanted::default() };
    records::put(kv, SANDBOXES, &SandboxId::random(), &unclaimed, Expect::Absent).await?;
    Ok(())
}
