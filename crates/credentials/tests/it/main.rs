//! Who may sign in to NATS and what they may do there, tried on a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod cluster;
mod permissions;
mod revocation;
mod roles;
mod sign_in;
