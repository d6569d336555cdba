//! `read_file`: a text file with the numbers of its lines, or a part of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{READS, failure, place};
use crate::args::Args;
use crate::blocking::blocking;
use crate::context::ToolContext;
use crate::error::Error;
use crate::files::Before;
use crate::files::lines::{clipped, lines};
use crate::observation::Observation;
use crate::paths;
use crate::secrets::Secrets;
use crate::spec::Spec;
use crate::tool::{Listed, Tool};

/// Lines that are shown where none are asked for.
const LINES: usize = 1_000;
/// Characters that are shown at once: what models are shown of a result is not much longer.
const LONGEST: usize = 45_000;

const DESCRIPTION: &str = "Read a text file. Each line has its number before it, which is not in the file.

Long files are shown in parts; the answer then says how to read on with `offset` and `limit`.";

pub struct ReadFile {
    working_dir: PathBuf,
    secrets: Arc<dyn Secrets>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    file_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

impl Listed for ReadFile {
    const NAME: &'static str = "read_file";
    const CLASS: &'static str = "ReadFile";
    const SUMMARY: Option<&'static str> = Some("Reads files");
    const USER_SELECTABLE: bool = false;

    fn make(_params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        Ok(Self { working_dir: context.working_dir.clone(), secrets: Arc::clone(&context.secrets) })
    }
}

impl Tool for ReadFile {
    type Action = Action;

    fn spec(&self) -> Spec {
        let parameters = json!({
            "type": "object",
            "properties": {
                "file_path": {"type": "string", "description": "The file."},
                "offset": {"type": "integer", "description": "How many lines to leave out before the first."},
                "limit": {"type": "integer", "description": "How many lines to show, 1000 when left out."},
            },
            "required": ["file_path"],
        });
        Spec::of::<Self>(format!("{DESCRIPTION}\n\n{}", place(&self.working_dir)), parameters, READS)
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut args = Args::new(arguments);
        let file_path = args.text("file_path");
        let offset = args.count("offset").and_then(|offset| usize::try_from(offset).ok());
        let limit = args.count("limit").and_then(|limit| usize::try_from(limit).ok());
        if limit == Some(0) {
            args.problem("`limit` must be 1 or more");
        }
        args.finish()?;
        Ok(Action { file_path, offset, limit })
    }

    async fn run(&self, action: Arc<Action>, _: CancellationToken) -> Result<Observation, String> {
        let path = paths::at(&self.working_dir, &action.file_path);
        let secrets = Arc::clone(&self.secrets);
        blocking(move || {
            let seen = read(&action, &path, secrets.as_ref()).unwrap_or_else(|why| failure(&why));
            seen.with("file_path", Some(path.to_string_lossy()))
        })
        .await
    }
}

fn read(action: &Action, path: &Path, secrets: &dyn Secrets) -> Result<Observation, String> {
    if !path.exists() {
        return Err(format!("File not found: {}", path.display()));
    }
    if path.is_dir() {
        return Err(format!("Path is a directory, not a file: {}", path.display()));
    }
    let text = Before::read(path)?.text;
    let lines = lines(&text);
    let (total, first) = (lines.len(), action.offset.unwrap_or(0));
    if first >= total.max(1) {
        return Err(format!("Offset {first} is beyond file length ({total} lines)"));
    }
    let wanted = lines.get(first..).unwrap_or_default().iter().take(action.limit.unwrap_or(LINES));
    let (content, shown) = numbered(wanted, first, secrets);
    let end = first + shown;
    let is_cut = end < total;
    let mut heading = format!("Read file: {}", path.display());
    if is_cut {
        heading.push_str(&format!(
            " (showing lines {}-{end} of {total}) To read more, use: read_file(file_path='{}', offset={end}, limit={})",
            first + 1,
            action.file_path,
            action.limit.unwrap_or(LINES)
        ));
    }
    if total == 0 {
        heading.push_str(" (it is empty)");
    }
    Ok(Observation::text(format!("{heading}\n\n{content}"))
        .with("file_content", Some(content))
        .with("is_truncated", Some(is_cut))
        .with("lines_shown", is_cut.then_some((first + 1, end)))
        .with("total_lines", Some(total)))
}

/// As many of the lines as may be shown at once, but at least one; and how many these are.
fn numbered<'a>(
    lines: impl Iterator<Item = &'a &'a str>,
    first: usize,
    secrets: &dyn Secrets,
) -> (String, usize) {
    let (mut text, mut letters, mut shown) = (String::new(), 0, 0);
    for line in lines {
        let line = format!("{:6}  {}\n", first + shown + 1, clipped(line, secrets));
        letters += line.chars().count();
        if shown > 0 && letters > LONGEST {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    (text, shown)
}
