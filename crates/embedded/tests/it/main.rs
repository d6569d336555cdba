//! The embedded store's promises, on real folders and through real crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod common;
mod contract;
mod crash;
mod damage;
mod directory;
mod full_disk;
mod log_writer;
mod model;
mod scan;
