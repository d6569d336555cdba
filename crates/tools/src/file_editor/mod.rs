//! `file_editor`: views, creates and edits files, with an undo for its own edits.

mod action;
mod definition;
mod edit;
mod files;
mod history;
mod image;
mod text;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use types::Content;

use crate::context::{EDITS, ToolContext};
use crate::error::Error;
use crate::observation::Observation;
use crate::secrets::Secrets;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};
use action::{Action, Command, Done, invalid, observation};
use history::History;

/// The editor of one conversation. Calls take turns.
pub struct FileEditor {
    working_dir: PathBuf,
    /// Held for a whole edit, so that two edits of one file cannot cross.
    desk: Arc<Mutex<Desk>>,
}

struct Desk {
    working_dir: PathBuf,
    history: History,
    secrets: Arc<dyn Secrets>,
}

impl Listed for FileEditor {
    const NAME: &'static str = "file_editor";
    const CLASS: &'static str = "FileEditor";
    const SUMMARY: Option<&'static str> = Some("Views, creates and edits files");
    const IN_DEFAULT_SET: bool = true;

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        let working_dir = context.working_dir.clone();
        let desk = Desk {
            working_dir: working_dir.clone(),
            history: History::new(context.persistence_dir.join(EDITS)),
            secrets: Arc::clone(&context.secrets),
        };
        Ok(Self { working_dir, desk: Arc::new(Mutex::new(desk)) })
    }
}

impl Tool for FileEditor {
    type Action = Action;

    fn spec(&self) -> Spec {
        definition::spec(&self.working_dir)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        definition::parse(arguments)
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let desk = Arc::clone(&self.desk);
        let edit = move || {
            let mut desk = desk.lock();
            observation(&action, desk.run(&action))
        };
        tokio::task::spawn_blocking(edit).await.map_err(|error| format!("the editor failed: {error}"))
    }
}

impl Desk {
    fn run(&mut self, action: &Action) -> Result<Done, String> {
        self.check_path(action)?;
        match action.command {
            Command::View => self.view(action),
            Command::Create => edit::create(action),
            Command::StrReplace => edit::str_replace(action, self),
            Command::Insert => edit::insert(action, self),
            Command::UndoEdit => edit::undo(action, self),
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

    fn view(&self, action: &Action) -> Result<Done, String> {
        let path = &action.path;
        if path.is_dir() {
            if let Some(range) = &action.view_range {
                let reason = "It cannot be used with a directory.";
                return Err(invalid("view_range", format!("{range:?}"), reason));
            }
            return Ok(Done::shown(vec![Content::text(view::directory(path)?)]));
        }
        let bytes = files::read(path)?;
        if let Some(media_type) = image::media_type(&bytes) {
            return Ok(Done::shown(image::shown(path, media_type, &bytes)?));
        }
        if text::is_binary(&bytes) {
            let reason = "File appears to be binary: it is neither text nor one of the images that can be shown, \
                which are png, jpeg, gif and webp.";
            return Err(files::refused(path, reason));
        }
        let text = view::file(path, &bytes, action.view_range.as_deref(), self.secrets.as_ref())?;
        Ok(Done::shown(vec![Content::text(text)]))
    }
}
