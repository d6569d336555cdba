//! The NATS adapters' promises, on a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod buckets;
mod common;
mod contract;
mod faults;
mod hostile;
mod lagging;
mod limits;
mod quota;
mod set_up;
mod worker;
