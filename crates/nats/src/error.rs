//! Why there is no connection or no storage, for the operator.

use crate::layout::VERSION;

/// Why a connection could not be made or a cluster's storage not set up; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("nats: bad configuration: {0}")]
    Configuration(String),
    #[error("nats: no server answers at {urls}: {reason}")]
    Unreachable { urls: String, reason: String },
    #[error("nats: {urls} refuses these credentials: {reason}")]
    Refused { urls: String, reason: String },
    #[error(
        "nats: {urls} asks nobody who they are, though this part has credentials: nats.conf must include the auth.conf of `init`"
    )]
    Open { urls: String },
    #[error("nats: {urls} is not who it should be: {reason}")]
    Untrusted { urls: String, reason: String },
    #[error("nats: the server is version {found}; at least 2.11 is needed")]
    TooOld { found: String },
    #[error(
        "nats: JetStream is not available to this account; start nats-server with `jetstream` configured"
    )]
    NoJetStream,
    #[error("nats: the storage was set up by a newer release (layout {found}, this one knows {VERSION})")]
    Newer { found: u64 },
    #[error("nats: the cluster has {found} partitions, not {asked}; their number cannot be changed")]
    Partitions { found: u64, asked: u64 },
    #[error("nats: the cluster's storage is not set up")]
    NotSetUp,
    #[error("nats: {0}")]
    Storage(#[from] ports::Error),
}
