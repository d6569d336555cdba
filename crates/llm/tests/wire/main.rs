//! The client against a scripted model server on loopback.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod anthropic;
mod bodies;
mod failures;
mod fake;
mod openai;
mod responses;
mod retries;
mod secrets;
mod streams;
