//! What the client does when an API server answers badly, or not at all.
#![cfg(test)]

mod pages;
mod server;
mod waiting;
