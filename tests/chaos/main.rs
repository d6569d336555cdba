//! A cluster under faults: whatever is killed, stopped, cut off or slow, nothing acknowledged is lost, doubled
//! or out of order, and every conversation goes on.
//!
//! `MANYHANDS_CHAOS_KILLS`, `MANYHANDS_CHAOS_CONVERSATIONS` and `MANYHANDS_CHAOS_DISCONNECTS` make it last longer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod check;
mod faults;
mod follower;
mod scene;
mod sockets;
mod storm;
mod talker;
mod zombie;

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
