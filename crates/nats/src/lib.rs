//! The ports on NATS and JetStream, for a cluster.
//!
//! A log is a subject of one of a few streams, a bucket is a stream with one message a key, and a large body
//! lies in pieces in a stream of its own. Everything is read by gets, so a reader costs the server no consumer;
//! whoever follows listens to what the streams republish. Any replica answers a get of what lies before a known
//! position; what is the last, and that there is no more, is asked of the stream's leader. Only this crate knows the NATS client, and
//! of that only its core: the few calls of JetStream's own API that are needed are in `jetstream`. All the rest needs [streams](streams::Streams) and a bus, of whichever kind ([`Adapter`]).
//!
//! The control plane ([`Connection::control`]) speaks to JetStream. A worker ([`Connection::worker`]) may not:
//! it publishes to its own subjects and asks the control plane ([`Connection::storage`]) for the rest.

mod adapter;
mod agreement;
mod archive;
mod arrivals;
mod body;
mod bus;
mod charged;
mod connect;
mod connection;
mod error;
mod jetstream;
mod kv;
mod layout;
mod leaders;
mod link;
mod log;
mod message;
mod parcel;
mod probe;
mod removal;
mod set_up;
mod stored;
pub mod streams;
mod subscription;
mod trust;
mod unfinished;
mod worker;

pub use adapter::Adapter;
pub use connect::{Options, connect};
pub use connection::Connection;
pub use error::Error;
pub use probe::Probe;
