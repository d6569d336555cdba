//! What tenants keep beside conversations: settings, profiles, secrets, lists of places. A **shelf** is all that a tenant keeps of
//! one kind, as one document, in the bucket of that kind, under the tenant's id.
//!
//! ```text
//!                    ┌── somebody else wrote first ──┐
//!                    ▼                               │
//!   change ─▶ read ─▶ decide ─▶ refused: nothing is written, and the refusal is answered
//!                        ├────▶ nothing to write: answered
//!                        └────▶ too large or too deep: refused ─── else written, if the shelf is still as it was read ─▶ answered
//! ```
//!
//! One document and not one key for each thing in it, for three reasons. What holds between its things (a limit, a name that
//! others refer to, which of them is active) is decided and written at once, and no second gateway can tear it. A store can
//! list a bucket, but not what of it belongs to one tenant. And names of profiles are no keys of a store.
//!
//! **Deciding** is a function of what is stored at that moment; it may be called again, so it does no input or output and
//! remembers nothing of an earlier round. What has to be asked of others is asked before or after. Each gateway reads the
//! store and caches nothing, so what one has acknowledged another reads.
//!
//! **Secrets** are sealed before they come into a document, and stay sealed in memory; they are opened only where they are
//! shown to who asks for them, or put to use ([`Sealing`]). So a merge handles no plain text, a masked answer needs no key,
//! and a server with a wrong key destroys nothing and refuses no write. All values of a document are sealed under one context,
//! the tenant and the kind: within it they are copied as they are, and elsewhere they do not open.
//!
//! **Releases.** A document has a number. One with a higher number than is known here is left alone: reading it is refused,
//! and so is every change. Fields that are not known are kept as they are, so that a gateway of an older release beside a
//! newer one loses nothing.
//!
//! A shelf is made by its first change and never removed. It is small: a kind names its bound, and a change beyond it is
//! refused.

mod change;
mod document;
mod health;
mod keys;
mod merge;
mod rotate;
mod sealing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ports::Kv;
use telemetry::metrics::Work;
use types::TenantId;
use vault::Vault;

pub use change::{Change, fits};
pub use document::{Kept, Version};
pub use health::SecretHealth;
pub(crate) use keys::{NotedBy, SealedWith};
pub use merge::{deep_merge, merge_patch};
pub use rotate::Rotated;
pub use sealing::{Expose, Sealing, Unopenable, WrongKey};

/// The shelves of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Shelves {
    kv: Arc<dyn Kv>,
    vault: Arc<Vault>,
    health: SecretHealth,
}

impl Shelves {
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, vault: Arc<Vault>, metrics: Work) -> Self {
        Self { kv, vault, health: SecretHealth::new(metrics) }
    }

    /// Whether stored secrets could be opened so far.
    #[must_use]
    pub fn health(&self) -> &SecretHealth {
        &self.health
    }

    /// The store itself, for what is kept beside a document.
    pub(crate) fn kv(&self) -> &dyn Kv {
        &*self.kv
    }

    /// What seals and opens secrets of a tenant's shelf.
    #[must_use]
    pub fn sealing<T: Kept>(&self, tenant: &TenantId) -> Sealing<'_> {
        Sealing::new(&self.vault, &self.health, tenant, T::BUCKET)
    }
}
