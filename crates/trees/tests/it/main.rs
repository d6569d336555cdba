//! What strangers may leave in a folder, and that it goes.
#![cfg(test)]

mod remove;
