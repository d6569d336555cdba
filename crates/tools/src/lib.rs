//! The tools an agent works with: a shell, an editor, a task list, a place to think, and the call that ends
//! a run.
//!
//! [`Catalogue`] lists the tools there are, [`ToolSet`] holds those of one conversation. The set tells the loop
//! what there is ([`types::tool::Toolbox`]), checks arguments, and runs actions. It knows nothing of events, models
//! or confirmation: the loop asks, this crate does. What a tool is says [`tool::Tool`].

mod args;
mod around;
mod blocking;
mod bound;
mod catalogue;
mod context;
mod error;
pub mod exit;
pub mod extensions;
mod file_editor;
mod files;
pub mod folder;
pub mod hands;
mod notes;
mod observation;
pub mod offspring;
pub mod open;
mod patch;
mod paths;
mod plain_files;
mod planning_file_editor;
mod search;
mod secrets;
pub mod served;
mod set;
mod spec;
mod task_tracker;
mod terminal;
pub mod tool;

pub use args::Args;
pub use catalogue::{Catalogue, Entry};
pub use context::{ToolContext, put_all_back, put_back, remove_set_aside, set_aside};
pub use error::Error;
pub use files::Edits;
pub use observation::Observation;
pub use secrets::{Boxed, NoSecrets, Screen, Secrets};
pub use set::ToolSet;
pub use spec::{Annotations, Spec};
