//! What a worker may say of itself: its lease is read, bounded, and written anew, for the incarnation that says it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ports::rpc::{Code, Fault};
use ports::{Allowance, Error, Expect, Kv, KvEntry};
use types::buckets::LEASES;
use types::placement::Lease;
use types::time::unix_of_utc;
use types::{Epoch, SandboxId};

/// A lease in JSON needs about a hundred.
const MOST_BYTES: usize = 512;
/// More than any worker can have under way.
const MOST_RUNS: usize = 100_000;
/// Each renewal is told to all gateways and supervisors. A worker renews every five seconds, and sooner only while it
/// finds out who else writes.
const AT_ONCE: u32 = 16;
const EVERY: Duration = Duration::from_secs(1);

/// The leases of all sandboxes.
pub struct Leases {
    kv: Arc<dyn Kv>,
    renewals: Mutex<Allowance>,
}

impl Leases {
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, renewals: Mutex::new(Allowance::new(AT_ONCE, EVERY)) }
    }

    pub async fn of(&self, sandbox: &SandboxId) -> ports::Result<Option<KvEntry>> {
        self.kv.get(LEASES, sandbox.as_str()).await
    }

    /// Takes or renews the lease for `epoch`, and answers its revision.
    ///
    /// # Errors
    /// `Invalid` for what is no lease of that incarnation; `Conflict` where a newer one holds it, or `expect` does
    /// not hold and it is not the same one that holds it; `Busy` where it is renewed all the time.
    pub async fn put(
        &self,
        sandbox: &SandboxId,
        epoch: Epoch,
        lease: &[u8],
        expect: Expect,
    ) -> Result<u64, Fault> {
        let lease = read(lease, epoch)
            .ok_or_else(|| Fault::new(Code::Invalid, "this is no lease of the incarnation that sends it"))?;
        if !self.may_renew(sandbox) {
            return Err(Fault::new(Code::Busy, "The lease is renewed too often."));
        }
        let stored = self.of(sandbox).await?;
        if stored.as_ref().and_then(holder).is_some_and(|holder| holder > epoch) {
            return Err(Error::Conflict { tail: None }.into());
        }
        // Unconditionally nobody writes: a newer incarnation may do so in this moment.
        let expect = match (expect, stored) {
            (Expect::Anything, Some(stored)) => Expect::Revision(stored.revision),
            (Expect::Anything, None) => Expect::Absent,
            // It has written that itself without hearing of it, as the answer took too long. It would renew the lease once it
            // had read it, and a store that is slow for a while is slow then, too.
            (_, Some(stored)) if is_older_of_same(&stored, &lease) => Expect::Revision(stored.revision),
            (expect, _) => expect,
        };
        let value = serde_json::to_vec(&lease).map_err(Fault::internal)?;
        Ok(self.kv.put(LEASES, sandbox.as_str(), value.into(), expect).await?)
    }

    fn may_renew(&self, sandbox: &SandboxId) -> bool {
        let mut renewals = self.renewals.lock();
        renewals.take(sandbox.as_str(), Instant::now())
    }
}

fn read(text: &[u8], epoch: Epoch) -> Option<Lease> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let lease: Lease = serde_json::from_slice(text).ok()?;
    let is_sound = lease.epoch == epoch && lease.runs <= MOST_RUNS && unix_of_utc(&lease.since).is_some();
    is_sound.then_some(lease)
}

/// `None` where the lease cannot be read: then nobody holds it.
fn holder(stored: &KvEntry) -> Option<Epoch> {
    held(stored).map(|lease| lease.epoch)
}

/// Whether the same incarnation has written it, and not after `lease`: what arrives late brings nothing old back.
fn is_older_of_same(stored: &KvEntry, lease: &Lease) -> bool {
    held(stored).is_some_and(|held| held.epoch == lease.epoch && held.calls <= lease.calls)
}

fn held(stored: &KvEntry) -> Option<Lease> {
    serde_json::from_slice(&stored.value).ok()
}
