//! The tools an agent works with: a shell, an editor, a task list, a place to think, and the call that ends
//! a run.
//!
//! [`ToolSet`] holds the tools of one conversation. It tells the loop what there is ([`types::tool::Toolbox`]),
//! checks arguments, and runs actions. It knows nothing of events, models or confirmation: the loop asks,
//! this crate does.

mod args;
mod context;
mod definition;
mod error;
mod file_editor;
pub mod hands;
mod notes;
pub mod offspring;
mod set;
mod task_tracker;
mod terminal;

pub use context::ToolContext;
pub use error::Error;
pub use set::ToolSet;
