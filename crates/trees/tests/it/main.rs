//! What strangers may leave in a folder, and that it goes.
#![allow(clippy::unwrap_used, reason = "a failure ends its test")]

mod remove;
