//! `read_file`, `write_file`, `edit` and `list_directory`: one tool for each thing that is done with a file, as models of
//! some makers know them.

mod edit;
mod list_directory;
mod read_file;
mod write_file;

use std::path::Path;

use crate::files::{Told, store};
use crate::hands;
use crate::observation::Observation;
use crate::spec::Annotations;

pub use edit::Edit;
pub use list_directory::ListDirectory;
pub use read_file::ReadFile;
pub use write_file::WriteFile;

const READS: Annotations =
    Annotations { titled: true, read_only: true, destructive: false, idempotent: true, open_world: false };
const WRITES: Annotations = Annotations { read_only: false, destructive: true, idempotent: false, ..READS };

/// What every description ends with.
fn place(working_dir: &Path) -> String {
    format!("Paths are absolute, or from the working directory, which is {}.", working_dir.display())
}

/// A new file, in a folder that is made where it is missing.
fn create(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    hands::make_folders(folder)
        .map_err(|error| format!("Ran into {error} while trying to make the folder {}", folder.display()))?;
    store::create(path, text.as_bytes())
}

fn failure(why: &str) -> Observation {
    Observation::error(format!("Error: {why}"))
}

/// That a file is changed: what the model reads, and what clients get beside it.
fn changed(path: &Path, text: String, is_new: bool, told: Told, remark: Option<String>) -> Observation {
    let remarks = [remark, told.remark];
    let text = remarks.into_iter().flatten().fold(text, |text, remark| format!("{text}\n{remark}"));
    Observation::text(text)
        .with("file_path", Some(path.to_string_lossy()))
        .with("is_new_file", Some(is_new))
        .with("old_content", told.old)
        .with("new_content", told.new)
}
