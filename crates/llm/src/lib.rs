//! The client for language models: OpenAI chat completions and responses, and Anthropic messages, streamed
//! and not, with retries, error kinds and costs. It knows no conversation: a [`types::model::ModelRequest`] goes
//! in, a [`types::model::Completion`] or a [`types::model::ModelFailure`] comes out.
//!
//! - `provider`, `route`: where a model name leads and with which headers
//! - `catalog`, `traits`: what is known about a model
//! - `history`, `call_ids`, `written`: the provider-neutral shape of the messages
//! - `text_tools`: calls of tools as words, where there is no other form for them
//! - `chat`, `responses`, `anthropic`: the dialects, requests and answers
//! - `sse`, `events`, `reading`, `unpack`, `exchange`: one attempt on the wire; `ending`: how an answer ended; `json`: as
//!   servers write it
//! - `brokered`: sending through a broker that holds the keys; `destination`, `meter`, `counts`: the broker's side of it
//! - `client`, `retry`, `problem`: attempts, waits, and what an error means
//! - `refusal`, `ladder`, `quirks`: what a refusal says, what is left out next, and what is remembered of it
//! - `estimate`: tokens that nobody has counted
//! - `probe`: whether a model answers at all

mod answer;
mod anthropic;
mod brokered;
mod call_ids;
mod catalog;
mod chat;
mod client;
mod cost;
mod counts;
mod destination;
mod direct;
mod ending;
mod estimate;
mod events;
mod exchange;
mod history;
mod images;
mod json;
mod ladder;
mod meter;
mod options;
mod plan;
mod probe;
mod problem;
mod provider;
mod quirks;
mod reading;
mod redact;
mod refusal;
mod responses;
mod retry;
mod route;
mod sse;
mod stream;
mod text_tools;
mod traits;
mod transport;
mod unpack;
mod written;

pub use brokered::{Broker, Brokered, Pieces};
pub use client::Client;
pub use destination::Destination;
pub use direct::Direct;
pub use meter::{Meter, Spent};
pub use probe::{Subscription, probe, probe_subscription};
pub use problem::BUDGET_REACHED;
pub use retry::asked_wait;
pub use stream::{StreamEvent, StreamSink};
pub use traits::supports_vision;
pub use transport::{AnswerBody, HttpAnswer, HttpCall, Transport, TransportError};
