//! The client against a scripted model server on loopback.

#![cfg(test)]

mod anthropic;
mod bodies;
mod cuts;
mod endings;
mod estimates;
mod failures;
mod fake;
mod hostile;
mod images;
mod openai;
mod probing;
mod refusals;
mod responses;
mod retries;
mod secrets;
mod streams;
mod taken;
mod text_tools;
mod wild;
