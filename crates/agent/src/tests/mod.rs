//! Scenarios: an agent driven as a worker drives it, with a clock and ids of its own.

mod branching;
mod condensing;
mod confirming;
mod ending;
mod failing;
mod flow;
mod order;
mod pausing;
mod properties;
mod pursuing;
mod recovering;
mod refused;
mod sim;
pub mod support;
mod traced;
