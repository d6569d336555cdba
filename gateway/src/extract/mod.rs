//! Extractors that answer what does not fit with the contract's 422 lists, never echoing what was sent.

mod describe;
mod json;
mod lax;
mod names;
mod object;
mod params;
mod query;
mod shape;

pub(crate) use json::read as read_body;
pub use json::{Json, JsonLimit};
pub use names::{
    PROFILE_NAME, SECRET_NAME, check_extension_name, check_profile_name, check_profile_path, is_profile_name,
};
pub use object::Object;
pub(crate) use params::uuid_param;
pub use params::{ConversationPath, Path, Query, flag, optional_uuid, query_values, truth};
pub(crate) use query::{choice, limit, moment};
