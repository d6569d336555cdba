//! What the whole server promises, tried from outside: the real program as a process, real sockets, files and shells.
//!
//! Each module is one kind of promise. `chaos` and `docker` need the roles of a cluster and the machine for themselves.
#![cfg(test)]

mod architecture;
mod branches;
#[cfg(feature = "cluster")]
mod chaos;
mod chart;
mod client;
#[cfg(feature = "cluster")]
mod compose;
mod contract;
mod deferred;
mod dependencies;
#[cfg(feature = "cluster")]
mod deputies;
mod descriptors;
#[cfg(feature = "cluster")]
mod docker;
mod doctor;
mod durability;
mod endings;
mod environment;
mod extensions;
mod fresh;
mod hostile_input;
#[cfg(feature = "cluster")]
mod image;
#[cfg(feature = "cluster")]
mod inside;
mod large;
mod load;
mod logs;
mod marketplaces;
mod mistakes;
mod mixed;
mod moving;
mod offspring;
mod peer_faults;
mod peer_flags;
#[cfg(feature = "kubernetes")]
mod pods;
mod presets;
#[cfg(feature = "cluster")]
mod revocation;
#[cfg(feature = "cluster")]
mod rights;
mod schemathesis;
mod sdk;
mod served;
mod single;
mod small_disk;
#[cfg(feature = "cluster")]
mod storage;
#[cfg(feature = "cluster")]
mod tls;
mod traces;
#[cfg(feature = "cluster")]
mod tracing;
#[cfg(feature = "cluster")]
mod waiting;
mod webhooks;
