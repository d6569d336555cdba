//! How often may be called: from one address, with one key or token, and for one tenant.
//!
//! None of this is bounded unless the operator says so. Requests are counted, and opened sockets; what is said on a socket is
//! not. Probes are always answered, so that whoever watches the server does not take one that is asked too much for one that is broken.

mod buckets;

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use types::TenantId;

use crate::config;
use crate::error::{ApiError, ApiResult};
use buckets::Buckets;

/// What is never refused for being asked too often.
const PROBES: [&str; 3] = ["/alive", "/health", "/ready"];

/// Cheap to clone.
#[derive(Clone)]
pub struct Rates(Arc<Inner>);

struct Inner {
    by_address: Option<Buckets<IpAddr>>,
    by_key: Option<Buckets<u64>>,
    by_tenant: Option<Buckets<u64>>,
    /// So that no names of tenants are kept.
    hasher: RandomState,
}

impl Rates {
    #[must_use]
    pub fn new(rates: &config::Rates) -> Self {
        Self(Arc::new(Inner {
            by_address: rates.of_an_address.map(Buckets::new),
            by_key: rates.of_a_key.map(Buckets::new),
            by_tenant: rates.of_a_tenant.map(Buckets::new),
            hasher: RandomState::new(),
        }))
    }

    /// # Errors
    /// 429 where the address has called too often.
    pub fn admit_address(&self, address: IpAddr) -> ApiResult<()> {
        take(self.0.by_address.as_ref(), || address, "Too many requests from this address")
    }

    /// # Errors
    /// 429 where the key or token has been used too often, or its tenant has called too often.
    pub fn admit_caller(&self, key: Option<u64>, tenant: &TenantId) -> ApiResult<()> {
        if let Some(key) = key {
            take(self.0.by_key.as_ref(), || key, "Too many requests with this key")?;
        }
        let tenant = || self.0.hasher.hash_one(tenant.as_str());
        take(self.0.by_tenant.as_ref(), tenant, "Too many requests for this tenant")
    }
}

/// What pages are counted by that are shown with a key. Agents have written them: they
/// take nothing of what their user has. What an address and a tenant have in all they share.
#[must_use]
pub fn of_pages(key: u64) -> u64 {
    !key
}

/// Whether a path below the root is a probe's.
#[must_use]
pub fn is_probe(path: &str) -> bool {
    PROBES.contains(&path)
}

fn take<K: Hash + Eq + Copy>(
    buckets: Option<&Buckets<K>>,
    key: impl FnOnce() -> K,
    detail: &'static str,
) -> ApiResult<()> {
    let Some(buckets) = buckets else { return Ok(()) };
    buckets.take(key(), Instant::now()).map_err(|after| ApiError::TooOften { detail, after })
}
