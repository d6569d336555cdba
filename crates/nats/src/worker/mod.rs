//! The storage for those who may not speak to JetStream: calls on `subjects::storage`, each about the sandbox
//! in its subject.

mod appends;
mod lease;
mod protocol;
mod remote;
mod restricted;
mod serve;

pub use remote::Remote;
pub use restricted::OwnLease;
pub use serve::Served;

/// Bytes of messages in one answer: well below the smallest max_payload in use.
pub const PAGE_BYTES: usize = 256 << 10;
