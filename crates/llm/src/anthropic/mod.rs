//! Anthropic messages.

mod message;
mod options;
mod reply;
mod request;
mod stream;

pub(crate) use options::manual_budget;
pub(crate) use reply::{read, tokens};
pub(crate) use request::body;
pub(crate) use stream::Assembly;
