//! `edit`: a text of a file in the place of another, as often as it is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use types::resources::Resource;

use super::{WRITES, changed, create, failure, place};
use crate::args::Args;
use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::files::{Before, Edits, Told, store};
use crate::observation::Observation;
use crate::paths;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};

const DESCRIPTION: &str = "Replace a text in a file.

- `old_string` must be in the file letter by letter, with all its blanks, without the numbers that `read_file` shows. Take \
enough of the lines around to have only what you mean.
- It must be there as often as `expected_replacements` says, which is once when left out; all of them are replaced.
- An empty `old_string` makes a new file that holds `new_string`.

Read the part of the file before. Line endings and encoding are kept; write plain newlines.";

pub struct Edit {
    working_dir: PathBuf,
    edits: Edits,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    file_path: String,
    old_string: String,
    new_string: String,
    expected_replacements: u64,
}

impl Listed for Edit {
    const NAME: &'static str = "edit";
    const CLASS: &'static str = "Edit";
    const SUMMARY: Option<&'static str> = Some("Replaces texts in files");
    const USER_SELECTABLE: bool = false;

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self { working_dir: context.working_dir.clone(), edits: context.edits.clone() })
    }
}

impl Tool for Edit {
    type Action = Action;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {
                "file_path": {"type": "string", "description": "The file."},
                "old_string": {"type": "string", "description": "The text to replace; empty for a new file."},
                "new_string": {"type": "string", "description": "The text to put in its place."},
                "expected_replacements": {
                    "type": "integer",
                    "description": "How often `old_string` is in the file, 1 when left out.",
                },
            },
            "required": ["file_path", "old_string", "new_string"],
        });
        Spec::of::<Self>(format!("{DESCRIPTION}\n\n{}", place(&self.working_dir)), parameters, WRITES)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let file_path = args.text("file_path");
        let (old_string, new_string) = (args.text("old_string"), args.text("new_string"));
        let expected_replacements = args.count("expected_replacements").unwrap_or(1);
        args.finish()?;
        Ok(Action { file_path, old_string, new_string, expected_replacements })
    }

    fn resources(&self, action: &Action) -> Option<Vec<Resource>> {
        Some(paths::held(&self.working_dir, [&action.file_path]))
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let path = paths::at(&self.working_dir, &action.file_path);
        let edits = self.edits.clone();
        blocking(move || edit(&action, &path, &edits).unwrap_or_else(|why| failure(&why))).await
    }
}

fn edit(action: &Action, path: &Path, edits: &Edits) -> Result<Observation, String> {
    let mut history = edits.begin();
    let shown = path.display();
    if action.old_string.is_empty() {
        return make(path, &action.new_string);
    }
    if !path.exists() {
        return Err(format!("File not found: {shown}. To create a new file, use old_string=''."));
    }
    if path.is_dir() {
        return Err(format!("Path is a directory, not a file: {shown}"));
    }
    if action.old_string == action.new_string {
        return Err("No changes to apply. old_string and new_string are identical.".to_owned());
    }
    let before = Before::read(path)?;
    let (old, new) = (before.native_newlines(&action.old_string), before.native_newlines(&action.new_string));
    let (found, expected) = (before.text.matches(&old).count() as u64, action.expected_replacements);
    if found == 0 {
        return Err(format!(
            "Could not find the string to replace. 0 occurrences found in {shown}. Use read_file to verify the exact text."
        ));
    }
    if found != expected {
        let word = if expected == 1 { "occurrence" } else { "occurrences" };
        return Err(format!("Expected {expected} {word} but found {found} in {shown}."));
    }
    let kept = (before.text.len() as u64).saturating_sub(found.saturating_mul(old.len() as u64));
    store::check_size(path, kept.saturating_add(found.saturating_mul(new.len() as u64)))?;
    let text = before.text.replace(&old, &new);
    if text == before.text {
        return Err("No changes made. The new content is identical to the current content.".to_owned());
    }
    let remark = before.save(path, &text, &mut history)?;
    let told = Told::of(Some(before.text), Some(text));
    let text = format!("Successfully edited {shown} ({found} replacement(s))");
    Ok(changed(path, text, false, told, remark).with("replacements_made", Some(found)))
}

fn make(path: &Path, text: &str) -> Result<Observation, String> {
    if path.symlink_metadata().is_ok() {
        return Err(format!(
            "Cannot create file that already exists: {}. Use write_file to overwrite or provide non-empty old_string.",
            path.display()
        ));
    }
    create(path, text)?;
    let told = Told::of(None, Some(text.to_owned()));
    let said = format!("Created new file: {}", path.display());
    Ok(changed(path, said, true, told, None).with("replacements_made", Some(1)))
}
