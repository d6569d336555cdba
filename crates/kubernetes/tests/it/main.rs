//! What the client does when an API server answers badly, or not at all.
#![cfg(test)]

mod server;
mod waiting;
