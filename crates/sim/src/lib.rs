//! A simulator: production code on a machine, a network and a store whose every step and fault is drawn from a seed.
//!
//! One seed is one *world*: some *nodes* (gateways, supervisors, workers), each with a runtime of its own that runs until it
//! would sleep; a scheduler that says which of them is next and what the time is; the ports, in memory; and a list of faults.
//! Nothing in it depends on the machine, so a seed that fails fails again, at the same place.

pub mod campaign;
pub mod faults;
mod machine;
pub mod scenarios;
pub mod world;

pub use machine::time;
