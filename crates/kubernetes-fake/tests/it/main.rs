//! What clients see of the fake API server: words, codes, order and time.

#![cfg(test)]

mod applying;
mod attaching;
mod client;
mod deleting;
mod listing;
mod making;
mod watching;
