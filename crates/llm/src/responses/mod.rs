//! OpenAI responses. Nothing is stored at the provider; reasoning items are not replayed.

mod item;
mod reply;
mod request;
mod stream;

pub(crate) use reply::{read, tokens};
pub(crate) use request::body;
pub(crate) use stream::Assembly;
