//! OpenAI chat completions, and everything that speaks like them.

mod calls;
mod message;
mod options;
mod reply;
mod request;
mod stream;

pub(crate) use reply::{read, tokens};
pub(crate) use request::body;
pub(crate) use stream::Assembly;
