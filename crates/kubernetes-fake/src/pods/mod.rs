//! Pods on nodes: where they are put, how they run, what they write, and how somebody attaches to them.

pub mod attach;
pub mod claims;
pub mod handle;
pub mod kubelet;
pub mod log;
pub mod nodes;
pub mod scheduler;
mod status;

pub use handle::Pod;
pub use status::event;
