//! The ports on streams and a bus, whichever they are.

use std::sync::Arc;

use ports::storage::{Ledger, Storage};
use ports::{Bus, Ports, Result};
use types::{Epoch, SandboxId};

use crate::archive::{Archive, Direct};
use crate::charged::Charged;
use crate::kv::NatsKv;
use crate::layout::Layout;
use crate::log::NatsLog;
use crate::removal::Turns;
use crate::streams::Streams;
use crate::worker::{self, Served};

/// Bytes of messages read at once by the control plane.
const PAGE_BYTES: usize = 4 << 20;

/// What the ports of the control plane are made of. Cheap to clone.
#[derive(Clone)]
pub struct Adapter {
    pub bus: Arc<dyn Bus>,
    pub streams: Arc<dyn Streams>,
    /// Over how many streams logs are spread.
    pub partitions: u64,
    /// Bytes of a message at most.
    pub max_payload: usize,
}

impl Adapter {
    /// All ports.
    #[must_use]
    pub fn control(&self) -> Ports {
        self.ports_on(Arc::new(self.direct(PAGE_BYTES)))
    }

    /// The same, for who stores in logs at the cost of their sandboxes.
    #[must_use]
    pub fn control_at_cost(&self, ledger: Arc<dyn Ledger>) -> Ports {
        let archive = Arc::new(self.direct(PAGE_BYTES));
        self.ports_on(Arc::new(Charged { archive, ledger }))
    }

    /// The storage of workers, to be served to them.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Storage> {
        let archive = Arc::new(self.direct(worker::PAGE_BYTES));
        Arc::new(Served { archive, kv: Arc::new(self.kv()) })
    }

    /// The ports of one incarnation of a worker, which has nothing but a bus: there must be somebody who serves
    /// [`Adapter::storage`].
    ///
    /// # Errors
    /// `Unavailable`, `NotFound` when nobody does.
    pub async fn worker(
        bus: Arc<dyn Bus>,
        max_payload: usize,
        sandbox: &SandboxId,
        epoch: Epoch,
    ) -> Result<Ports> {
        let remote = Arc::new(worker::Remote::new(bus.clone(), sandbox, epoch));
        remote.lease().await?;
        let log = Arc::new(NatsLog::new(remote.clone(), max_payload));
        Ok(Ports { bus, log, kv: Arc::new(worker::OwnLease { remote, sandbox: sandbox.clone() }) })
    }

    fn ports_on(&self, archive: Arc<dyn Archive>) -> Ports {
        let log = Arc::new(NatsLog::new(archive, self.max_payload));
        Ports { bus: self.bus.clone(), log, kv: Arc::new(self.kv()) }
    }

    fn kv(&self) -> NatsKv {
        NatsKv { streams: self.streams.clone() }
    }

    fn direct(&self, page_bytes: usize) -> Direct {
        let (streams, layout) = (self.streams.clone(), Layout { partitions: self.partitions });
        Direct { streams, layout, page_bytes, turns: Turns::default() }
    }
}
