//! How much each sandbox may have under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::SandboxId;

/// Calls of one sandbox that may be under way: more than a worker has runs.
const CALLS: usize = 1_024;

/// Bytes that their bodies may have together.
const BYTES: u64 = 96 << 20;

/// What each sandbox has under way: none can take up all of the gateway.
#[derive(Clone, Default)]
pub(super) struct Load(Arc<Mutex<HashMap<SandboxId, Share>>>);

#[derive(Clone, Copy, Default)]
struct Share {
    calls: usize,
    bytes: u64,
}

/// One call's part, given back when dropped.
pub(super) struct Taken {
    load: Load,
    sandbox: SandboxId,
    bytes: u64,
}

impl Load {
    /// `None` when the sandbox has too much under way already.
    pub fn take(&self, sandbox: &SandboxId, bytes: u64) -> Option<Taken> {
        let mut shares = self.lock();
        let share = shares.get(sandbox).copied().unwrap_or_default();
        let more = Share { calls: share.calls + 1, bytes: share.bytes.checked_add(bytes)? };
        if more.calls > CALLS || more.bytes > BYTES {
            return None;
        }
        shares.insert(sandbox.clone(), more);
        Some(Taken { load: self.clone(), sandbox: sandbox.clone(), bytes })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SandboxId, Share>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut shares = self.load.lock();
        let Some(share) = shares.get_mut(&self.sandbox) else { return };
        share.calls -= 1;
        share.bytes -= self.bytes;
        if share.calls == 0 {
            shares.remove(&self.sandbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_has_its_share_and_its_neighbours_have_theirs() {
        let (load, greedy, other) =
            (Load::default(), SandboxId::shared(), SandboxId::parse("other").unwrap());
        let calls: Vec<_> = (0..CALLS).map(|_| load.take(&greedy, 1).unwrap()).collect();
        assert!(load.take(&greedy, 1).is_none());
        assert!(load.take(&other, BYTES + 1).is_none() && load.take(&other, u64::MAX).is_none());
        let large = load.take(&other, BYTES).unwrap();
        assert!(load.take(&other, 1).is_none());
        drop((calls, large));
        assert!(load.take(&greedy, 1).is_some() && load.lock().is_empty());
    }
}
