//! What strangers may leave in a folder, and that it goes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure ends its test")]

mod remove;
