//! `glob` and `grep`: which files there are, and in which of them something stands.

mod glob;
mod grep;
mod halt;
mod newest;
mod pattern;
mod rules;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};

use ignore::overrides::{Override, OverrideBuilder};
use serde_json::{Value, json};

use crate::paths;
use crate::spec::Annotations;
use newest::Newest;

pub use glob::Glob;
pub use grep::Grep;

const HINTS: Annotations =
    Annotations { titled: true, read_only: true, destructive: false, idempotent: true, open_world: false };

const CUT: &str = "\n\n[Results truncated to first 100 files. Consider using a more specific pattern.]";

/// What is said of a tool, and where it is.
fn described(description: &str, working_dir: &Path) -> String {
    format!("{description}\n\nThe working directory is {}.", working_dir.display())
}

/// The schema of the parameter that names the folder to search.
fn folder_parameter() -> Value {
    json!({
        "type": "string",
        "description": "The folder to search, absolute or from the working directory, which it is when left out.",
    })
}

/// The folder that is searched.
fn folder(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().filter(|path| path.is_dir())
}

/// Patterns of names, as those in `.gitignore`: without a slash they are looked for at any depth.
fn names(folder: &Path, pattern: &str) -> Result<Override, String> {
    let wrong = |error: ignore::Error| format!("Invalid glob pattern '{pattern}': {error}");
    let mut builder = OverrideBuilder::new(folder);
    builder.add(pattern.strip_prefix("./").unwrap_or(pattern)).map_err(wrong)?;
    builder.build().map_err(wrong)
}

/// What the model is told of files that were found, under a heading.
fn listed(heading: &str, found: &[PathBuf], is_cut: bool) -> String {
    let mut text = heading.to_owned();
    for path in found {
        text.push('\n');
        text.push_str(&paths::shown(path));
    }
    if is_cut {
        text.push_str(CUT);
    }
    text
}
