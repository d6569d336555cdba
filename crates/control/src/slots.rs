//! How much of a kind a tenant has done at one time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ports::rpc::{Fault, Reason};
use types::TenantId;

/// Places for each tenant. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Slots {
    most: usize,
    taken: Arc<Mutex<HashMap<TenantId, usize>>>,
}

/// Given back when it is dropped.
pub(crate) struct Slot {
    tenant: TenantId,
    taken: Arc<Mutex<HashMap<TenantId, usize>>>,
}

impl Slots {
    pub fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// # Errors
    /// `Overloaded` where all are taken.
    pub fn take(&self, tenant: &TenantId) -> Result<Slot, Fault> {
        let mut taken = self.taken.lock();
        let own = taken.entry(tenant.clone()).or_default();
        if *own == self.most {
            return Err(Reason::Overloaded.into());
        }
        *own += 1;
        Ok(Slot { tenant: tenant.clone(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        let Some(own) = taken.get_mut(&self.tenant) else { return };
        *own -= 1;
        if *own == 0 {
            taken.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_so_many_at_once_and_takes_none_of_others() {
        let slots = Slots::new(2);
        let (a, b) = (TenantId::default(), TenantId::parse("b").unwrap());
        let held = [slots.take(&a).unwrap(), slots.take(&a).unwrap()];
        assert!(slots.take(&a).is_err());
        let of_b = slots.take(&b).unwrap();
        drop(held);
        drop(of_b);
        assert!(slots.taken.lock().is_empty(), "nothing is remembered of who has none");
        assert!(slots.take(&a).is_ok());
    }
}
