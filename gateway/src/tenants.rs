//! What a tenant has of its own.

use types::{SandboxId, TenantId};

/// Where calls act that name no conversation. A sandbox never serves two tenants, so each has one of its own
/// name; where no worker serves it, those calls are answered with 503.
#[must_use]
pub fn default_sandbox(tenant: &TenantId) -> SandboxId {
    SandboxId::from(tenant)
}
