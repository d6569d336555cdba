//! What a call holds while it runs.

use std::path::PathBuf;

/// Two calls that hold the same are not run at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A file that is changed, by its absolute path. Links are not looked at: two names of one file are two.
    File(PathBuf),
    /// All of a tool, by its name: of one that does not say what its calls hold.
    Tool(String),
}
