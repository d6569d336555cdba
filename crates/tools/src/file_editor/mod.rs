//! `file_editor`: views, creates and edits files, with an undo for its own edits.

mod action;
mod definition;
mod edit;
mod files;
mod history;
mod text;
mod view;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use types::Content;

use action::{Action, Command, Done, invalid, observation};
pub use definition::{definition, parse};
use history::History;

/// The editor of one conversation. Calls take turns.
pub struct FileEditor {
    desk: Arc<Desk>,
}

struct Desk {
    working_dir: PathBuf,
    history: Mutex<History>,
}

impl FileEditor {
    pub fn new(working_dir: &Path) -> Self {
        let desk = Desk { working_dir: working_dir.to_owned(), history: Mutex::default() };
        Self { desk: Arc::new(desk) }
    }

    pub async fn run(&self, action: &Value) -> Result<Value, String> {
        let action: Action = serde_json::from_value(action.clone())
            .map_err(|error| format!("not an editor's action: {error}"))?;
        let desk = Arc::clone(&self.desk);
        tokio::task::spawn_blocking(move || observation(&action, desk.run(&action)))
            .await
            .map_err(|error| format!("the editor failed: {error}"))
    }
}

impl Desk {
    fn run(&self, action: &Action) -> Result<Done, String> {
        // Held for the whole edit, so that two edits of one file cannot cross.
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_path(action)?;
        match action.command {
            Command::View => view(action),
            Command::Create => edit::create(action),
            Command::StrReplace => edit::str_replace(action, &mut history),
            Command::Insert => edit::insert(action, &mut history),
            Command::UndoEdit => edit::undo(action, &mut history),
        }
    }

    fn check_path(&self, action: &Action) -> Result<(), String> {
        let path = &action.path;
        let wrong = |reason: String| Err(invalid("path", path.display(), reason));
        if !path.is_absolute() {
            let suggestion = self.working_dir.join(path);
            let hint = if suggestion.exists() || action.command == Command::Create {
                format!(" Maybe you meant {}?", suggestion.display())
            } else {
                String::new()
            };
            return wrong(format!("The path should be an absolute path.{hint}"));
        }
        let exists = path.symlink_metadata().is_ok();
        if action.command == Command::Create {
            if exists {
                return wrong(format!(
                    "File already exists at: {}. Cannot overwrite files using command `create`.",
                    path.display()
                ));
            }
            return Ok(());
        }
        if !path.exists() {
            return wrong(format!(
                "The path {} does not exist. Please provide a valid path.",
                path.display()
            ));
        }
        if path.is_dir() && action.command != Command::View {
            return wrong(
                "It is a directory, and only the `view` command can be used on directories.".to_owned(),
            );
        }
        Ok(())
    }
}

fn view(action: &Action) -> Result<Done, String> {
    let path = &action.path;
    if path.is_dir() {
        if let Some(range) = &action.view_range {
            let reason = "It cannot be used with a directory.";
            return Err(invalid("view_range", format!("{range:?}"), reason));
        }
        return Ok(Done::shown(vec![Content::text(view::directory(path)?)]));
    }
    if let Some(media_type) = view::image_type(path) {
        return Ok(Done::shown(view::image(path, media_type)?));
    }
    let text = view::file(path, action.view_range.as_deref())?;
    Ok(Done::shown(vec![Content::text(text)]))
}
