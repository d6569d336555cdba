//! `file_editor`: views, creates and edits files, with an undo for its own edits.

mod action;
mod definition;
mod edit;
mod image;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use types::Content;
use types::resources::Resource;

use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::files::{Edits, History, store, text};
use crate::observation::Observation;
use crate::paths;
use crate::secrets::Secrets;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};
pub use action::{Action, Command, observation};
use action::{Done, invalid};
pub use definition::{DESCRIPTION, HINTS, parameters, parse};

pub struct FileEditor(Editor);

impl Listed for FileEditor {
    const NAME: &'static str = "file_editor";
    const CLASS: &'static str = "FileEditor";
    const SUMMARY: Option<&'static str> = Some("Views, creates and edits files");
    const IN_DEFAULT_SET: bool = true;

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self(Editor::of(context)))
    }
}

impl Tool for FileEditor {
    type Action = Action;

    fn spec(&self) -> Spec {
        definition::spec(&self.0.working_dir)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        parse(arguments)
    }

    fn resources(&self, action: &Action) -> Option<Vec<Resource>> {
        Some(self.0.resources(action))
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let editor = self.0.clone();
        blocking(move || editor.run(&action)).await
    }
}

/// What carries the editor's commands out, for whichever tool has them. Cheap to clone.
#[derive(Clone)]
pub struct Editor {
    working_dir: PathBuf,
    edits: Edits,
    secrets: Arc<dyn Secrets>,
}

impl Editor {
    pub fn of(context: &ToolContext) -> Self {
        Self {
            working_dir: context.working_dir.clone(),
            edits: context.edits.clone(),
            secrets: Arc::clone(&context.secrets),
        }
    }

    /// Blocks.
    pub fn run(&self, action: &Action) -> Observation {
        let mut history = self.edits.begin();
        let (working_dir, secrets) = (self.working_dir.as_path(), self.secrets.as_ref());
        let mut desk = Desk { working_dir, history: &mut history, secrets };
        observation(action, desk.run(action))
    }

    pub fn resources(&self, action: &Action) -> Vec<Resource> {
        if action.command == Command::View {
            Vec::new()
        } else {
            paths::held(&self.working_dir, [&action.path])
        }
    }
}

/// An edit, while there is no other.
struct Desk<'a> {
    working_dir: &'a Path,
    history: &'a mut History,
    secrets: &'a dyn Secrets,
}

impl Desk<'_> {
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
        let bytes = store::read(path)?;
        if let Some(media_type) = image::media_type(&bytes) {
            return Ok(Done::shown(image::shown(path, media_type, &bytes)?));
        }
        if text::is_binary(&bytes) {
            let reason = "File appears to be binary: it is neither text nor one of the images that can be shown, \
                which are png, jpeg, gif and webp.";
            return Err(store::refused(path, reason));
        }
        let text = view::file(path, &bytes, action.view_range.as_deref(), self.secrets)?;
        Ok(Done::shown(vec![Content::text(text)]))
    }
}
