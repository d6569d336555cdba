//! Files as tools change them: whole and within bounds, in the form that they have, one at a time, and so that the editor
//! can take it back.

mod change;
mod edits;
mod history;
pub mod lines;
pub mod store;
pub mod text;

pub use change::{Before, Told};
pub use edits::Edits;
pub use history::History;
