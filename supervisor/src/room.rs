//! How many sandboxes may run: per tenant, and on the node.

use std::collections::HashMap;

use ports::mutants::{self, Mutant};
use types::TenantId;

use crate::view::View;

/// `None`: as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub per_tenant: Option<usize>,
    pub per_node: Option<usize>,
}

/// What is left of the limits. Sandboxes of the warm pool do not count: they give way. One that was claimed counts once it is
/// granted.
#[derive(Clone, Default)]
pub struct Headroom {
    limits: Limits,
    running: HashMap<TenantId, usize>,
}

impl Headroom {
    /// `is_busy`: a step is being taken for it, which may be its start.
    pub fn of<'a>(
        limits: Limits,
        views: impl Iterator<Item = &'a View>,
        is_busy: impl Fn(&View) -> bool,
    ) -> Self {
        let mut room = Self { limits, running: HashMap::new() };
        let takes_room = |view: &&View| match is_busy(view) {
            true => view.may_run() || view.wants_running(),
            false => view.may_run() && !view.is_claimed(),
        };
        for tenant in views.filter(takes_room).filter_map(View::tenant) {
            room.add(tenant);
        }
        room
    }

    /// Whether somebody has less here than there.
    pub fn has_grown_since(&self, before: &Self) -> bool {
        let now = |tenant| self.running.get(tenant).copied().unwrap_or_default();
        before.running.iter().any(|(tenant, running)| now(tenant) < *running)
    }

    fn add(&mut self, tenant: &TenantId) {
        *self.running.entry(tenant.clone()).or_default() += 1;
    }

    /// Takes room for one more, unless a limit is reached: then says which.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn take(&mut self, tenant: &TenantId) -> Result<(), &'static str> {
        if mutants::is(Mutant::EndlessRoom) {
            return Ok(());
        }
        let of_tenant = self.running.get(tenant).copied().unwrap_or_default();
        if self.limits.per_tenant.is_some_and(|limit| of_tenant >= limit) {
            return Err("As many sandboxes are running as one tenant may have. Pause or delete one first.");
        }
        if self.left() == 0 {
            return Err("No more sandboxes can run here now. Try again later.");
        }
        self.add(tenant);
        Ok(())
    }

    /// On the node.
    pub fn left(&self) -> usize {
        let running: usize = self.running.values().sum();
        self.limits.per_node.map_or(usize::MAX, |limit| limit.saturating_sub(running))
    }
}
