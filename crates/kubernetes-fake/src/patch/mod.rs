//! The four ways to change an object by saying only the difference.

mod apply;
mod json;
mod lists;
mod merge;
pub mod owners;
mod paths;
mod strategic;

pub use apply::apply;
pub use json::json;
pub use merge::merge;
pub use strategic::strategic;
