//! The ports: what Manyhands needs from the world, as object-safe traits, and the RPC spoken over the bus.
//!
//! The adapters `embedded` (files and channels) and `nats` implement them. Each trait states its contract; `contract`
//! (a feature) is the suite that every adapter must pass, and has the kit of those who test what happens when one
//! fails.

mod allowance;
mod bucket;
mod bus;
#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "contract")]
pub mod doubles;
mod error;
mod event_log;
pub mod feed;
mod kv;
pub mod leader;
pub mod log;
pub mod mutants;
pub mod retry;
pub mod rpc;
pub mod storage;
mod turns;
mod unchanged;

use std::sync::Arc;

pub use allowance::Allowance;
pub use bucket::{Bucket, Update, Value, Versioned};
pub use bus::{Bus, Delivery, LARGEST, Message, Parcel, Subscription, fits};
pub use error::{Error, Result};
pub use event_log::{Appended, EventLog, Extent, Record, Stored};
pub use kv::{Change, Changes, Expect, Kv, KvEntry, Scan};
pub use turns::{Turn, Turns};
pub use unchanged::Unchanged;

/// Everything a service is given. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    pub bus: Arc<dyn Bus>,
    pub log: Arc<dyn EventLog>,
    pub kv: Arc<dyn Kv>,
}
