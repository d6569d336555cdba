//! The client against a scripted model server on loopback.

mod anthropic;
mod bodies;
mod failures;
mod fake;
mod openai;
mod retries;
mod secrets;
mod streams;
