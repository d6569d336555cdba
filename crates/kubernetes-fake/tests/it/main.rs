//! What clients see of the fake API server: words, codes, order and time.

#![cfg(test)]

mod admitting;
mod alike;
mod applying;
mod attaching;
mod client;
mod deleting;
mod failing;
mod listing;
mod making;
mod permitting;
mod programs;
mod real;
mod running;
mod watching;
