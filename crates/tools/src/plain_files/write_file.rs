//! `write_file`: a file with the whole of its content.

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
use crate::files::{Before, Edits, Told};
use crate::observation::Observation;
use crate::paths;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};

const DESCRIPTION: &str =
    "Write a file: `content` is the whole of it. What the file held before is replaced; a file that is \
not there is made, and so are the folders it lies in.

To change a part of a file, `edit` takes less.";

pub struct WriteFile {
    working_dir: PathBuf,
    edits: Edits,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    file_path: String,
    content: String,
}

impl Listed for WriteFile {
    const NAME: &'static str = "write_file";
    const CLASS: &'static str = "WriteFile";
    const SUMMARY: Option<&'static str> = Some("Writes files");
    const USER_SELECTABLE: bool = false;

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self { working_dir: context.working_dir.clone(), edits: context.edits.clone() })
    }
}

impl Tool for WriteFile {
    type Action = Action;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {
                "file_path": {"type": "string", "description": "The file."},
                "content": {"type": "string", "description": "All that it is to hold."},
            },
            "required": ["file_path", "content"],
        });
        Spec::of::<Self>(format!("{DESCRIPTION}\n\n{}", place(&self.working_dir)), parameters, WRITES)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let (file_path, content) = (args.text("file_path"), args.text("content"));
        args.finish()?;
        Ok(Action { file_path, content })
    }

    fn resources(&self, action: &Action) -> Option<Vec<Resource>> {
        Some(paths::held(&self.working_dir, [&action.file_path]))
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let path = paths::at(&self.working_dir, &action.file_path);
        let edits = self.edits.clone();
        blocking(move || write(&path, &action.content, &edits).unwrap_or_else(|why| failure(&why))).await
    }
}

fn write(path: &Path, content: &str, edits: &Edits) -> Result<Observation, String> {
    if path.is_dir() {
        return Err(format!("Path is a directory, not a file: {}", path.display()));
    }
    let mut history = edits.begin();
    if !path.exists() {
        create(path, content)?;
        let told = Told::of(None, Some(content.to_owned()));
        return Ok(changed(path, format!("Created file: {}", path.display()), true, told, None));
    }
    let before = Before::read_any(path)?;
    let remark = before.overwrite(path, content, &mut history)?;
    let old = before.is_text().then_some(before.text);
    let told = Told::of(old, Some(content.to_owned()));
    Ok(changed(path, format!("Updated file: {}", path.display()), false, told, remark))
}
