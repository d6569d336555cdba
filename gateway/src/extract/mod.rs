//! Extractors that answer what does not fit with the contract's 422 lists, never echoing what was sent.

mod describe;
mod json;
mod params;
mod shape;

pub use json::Json;
pub(crate) use json::read as read_body;
pub(crate) use params::uuid_param;
pub use params::{ConversationPath, Path, Query, flag, optional_uuid, query_values};
