//! How the editor is told to the model and to clients, and how its calls are read.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::FileEditor;
use super::action::{Action, Command};
use crate::args::Args;
use crate::spec::{Annotations, Spec};

pub const DESCRIPTION: &str = "View, create and edit files. Changes are on disk at once, and stay between calls.

Commands
- `view`: shows a text file with line numbers, as `cat -n` does, or part of it with `view_range`; shows the \
content of an image (png, jpeg, gif, webp; up to 700 KiB); lists a directory two levels deep, without hidden entries.
- `create`: writes a new file with `file_text`. The file must not exist, its directory must.
- `str_replace`: replaces `old_str` by `new_str` in a file.
- `insert`: puts `new_str` after line `insert_line` (0: at the top).
- `undo_edit`: takes back the last change this tool made to the file.

Rules
- `path` is always absolute.
- `old_str` must be in the file exactly once, letter by letter, with all its blanks. Take whole lines and enough of \
them around the change to be unique; leave out the line numbers that `view` prints.
- To delete text, give an empty `new_str`.
- View the part you want to change first, and look at the lines shown after a change. Line endings and encoding of \
a file are kept; write plain newlines.
- Answers above 16000 characters are cut in the middle; use `view_range` on large files.";

pub const HINTS: Annotations =
    Annotations { titled: true, read_only: false, destructive: true, idempotent: false, open_world: false };

pub fn spec(working_dir: &Path) -> Spec {
    let description = format!(
        "{DESCRIPTION}\n\nThe working directory is {}: look for the user's files there.",
        working_dir.display()
    );
    Spec::of::<FileEditor>(description, parameters(), HINTS)
}

pub fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "command": {
                "type": "string",
                "enum": ["view", "create", "str_replace", "insert", "undo_edit"],
                "description": "What to do.",
            },
            "path": {"type": "string", "description": "Absolute path of the file or directory."},
            "file_text": {"type": "string", "description": "`create`: the content of the new file."},
            "old_str": {"type": "string", "description": "`str_replace`: the text to be replaced."},
            "new_str": {
                "type": "string",
                "description": "`str_replace`: the text to put in its place; `insert`: the text to put in. \
                    Required for both.",
            },
            "insert_line": {
                "type": "integer",
                "description": "`insert`: number of the line after which the text goes; 0 for the top.",
            },
            "view_range": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "`view`: first and last line to show, counted from 1; -1 as the last means the \
                    end, as in [40, -1].",
            },
        },
        "required": ["command", "path"],
    })
}

pub fn parse(arguments: &Map<String, Value>) -> Result<Action, String> {
    let mut args = Args::new(arguments);
    let command = args.choice("command", &Command::WORDS).and_then(|word| Command::read(&word));
    if arguments.get("command").is_none_or(Value::is_null) {
        args.problem("`command` is required (one of view, create, str_replace, insert, undo_edit)");
    }
    let path = args.text("path").into();
    let file_text = args.optional_text("file_text");
    let old_str = args.optional_text("old_str");
    let new_str = args.optional_text("new_str");
    let insert_line = args.count("insert_line").and_then(|line| usize::try_from(line).ok());
    let view_range = args.whole_numbers("view_range");
    args.finish()?;
    let command = command.ok_or("`command` is required")?;
    Ok(Action { command, path, file_text, old_str, new_str, insert_line, view_range })
}
