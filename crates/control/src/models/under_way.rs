//! How many model calls may be under way, and how large their bodies may be together: of all, of a sandbox, and of a tenant,
//! who may have many sandboxes.

use std::collections::HashMap;

use parking_lot::Mutex;
use ports::rpc::{Limits, Permit, Room};
use types::{SandboxId, TenantId};

/// Of calls under way, with the bytes of their bodies. One sandbox may have more than a worker has runs; a call whose model
/// is silent may last for an hour.
const ALL: Limits = Limits::new(4_096, 512 << 20).for_each_subject(1_024, 96 << 20).leaving_as_much();

/// Of one tenant: less than all, and what there is for each of its sandboxes is the same.
const OF_A_TENANT: Limits = Limits::new(3_072, 384 << 20).for_each_subject(1_024, 96 << 20).leaving_as_much();

/// The calls that are under way.
pub(super) struct UnderWay {
    all: Room,
    /// Of those who have any.
    tenants: Mutex<HashMap<TenantId, Room>>,
}

/// One call's part of it, given back when dropped.
pub(super) struct Share(#[expect(dead_code, reason = "held")] [Permit; 2]);

impl Default for UnderWay {
    fn default() -> Self {
        Self { all: Room::new(ALL), tenants: Mutex::default() }
    }
}

impl UnderWay {
    /// `None` when too much is under way.
    pub fn take(&self, tenant: &TenantId, sandbox: &SandboxId, bytes: usize) -> Option<Share> {
        let mut tenants = self.tenants.lock();
        tenants.retain(|_, room| !room.is_empty());
        let room = tenants.entry(tenant.clone()).or_insert_with(|| Room::new(OF_A_TENANT));
        let of_tenant = room.take(sandbox.as_str(), bytes)?;
        Some(Share([of_tenant, self.all.take(sandbox.as_str(), bytes)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::MOST;

    fn take(under_way: &UnderWay, tenant: &str, sandbox: usize, bytes: usize) -> Option<Share> {
        let sandbox = SandboxId::parse(&format!("sandbox-{sandbox}")).unwrap();
        under_way.take(&TenantId::parse(tenant).unwrap(), &sandbox, bytes)
    }

    #[test]
    fn all_tenants_together_hold_a_bounded_part_of_the_memory() {
        let under_way = UnderWay::default();
        let held: Vec<_> = (0..1_000)
            .filter_map(|sandbox| take(&under_way, &format!("tenant-{sandbox}"), sandbox, MOST as usize))
            .collect();
        assert!(held.len() as u64 * MOST <= 512 << 20, "{} bodies", held.len());
        assert!(!held.is_empty() && take(&under_way, "another", 1_000, MOST as usize).is_none());
    }

    #[test]
    fn a_few_sandboxes_whose_models_are_silent_leave_room_for_the_calls_of_others() {
        for bytes in [0, 1 << 20, 16 << 20, MOST as usize] {
            let (under_way, mut held) = (UnderWay::default(), Vec::new());
            for sandbox in 0..6 {
                held.extend(std::iter::from_fn(|| take(&under_way, "a", sandbox, bytes)));
            }
            assert!(take(&under_way, "a", 7, 4 << 20).is_some(), "{} calls of {bytes} bytes", held.len());
        }
    }

    #[test]
    fn a_tenant_whose_models_are_silent_leaves_room_for_others_however_many_sandboxes_it_has() {
        for bytes in [0, 1 << 20, 16 << 20] {
            let (under_way, mut held) = (UnderWay::default(), Vec::new());
            for sandbox in 0..1_000 {
                held.extend(std::iter::from_fn(|| take(&under_way, "a", sandbox, bytes)));
            }
            let others = (0..64).map_while(|sandbox| take(&under_way, "b", 1_000 + sandbox, 1 << 20));
            assert_eq!(others.count(), 64, "{} calls of {bytes} bytes", held.len());
        }
    }
}
