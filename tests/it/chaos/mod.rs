//! A cluster under faults: whatever is killed, stopped, cut off or slow, nothing acknowledged is lost, doubled
//! or out of order, and every conversation goes on.
//!
//! `MANYHANDS_CHAOS_KILLS`, `MANYHANDS_CHAOS_CONVERSATIONS` and `MANYHANDS_CHAOS_DISCONNECTS` make it last longer;
//! `MANYHANDS_CHAOS_USABLE_SECONDS` is for machines that are busy with something else.

mod check;
mod faults;
mod follower;
mod replicas;
mod scene;
mod sockets;
mod storm;
mod talker;
mod zombie;

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
