//! The commands that change files.

use std::path::Path;

use super::Desk;
use super::action::{Action, Done, invalid};
use super::view::numbered;
use crate::files::lines::lines;
use crate::files::text::{Form, decode, encode};
use crate::files::{Before, store};
use crate::secrets::Secrets;

/// Lines shown on either side of a change.
const CONTEXT: usize = 4;
/// Matches whose lines are named.
const NAMED: usize = 20;
const CHECK: &str =
    "Check that this is what you meant, indentation and neighbouring lines too; edit again if not.";

pub fn create(action: &Action) -> Result<Done, String> {
    let text = action.require("file_text", &action.file_text)?;
    let path = &action.path;
    if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
        return Err(invalid(
            "path",
            path.display(),
            format!("The directory {} does not exist. Create it first.", parent.display()),
        ));
    }
    store::create(path, &encode(text, Form::PLAIN))?;
    let answer = format!("File created successfully at: {}", path.display());
    Ok(Done { created: true, ..Done::edited(answer, None, text.clone()) })
}

pub fn str_replace(action: &Action, desk: &mut Desk<'_>) -> Result<Done, String> {
    let old = action.require("old_str", &action.old_str)?;
    let new = action.require("new_str", &action.new_str)?;
    if old.is_empty() {
        return Err(invalid("old_str", "``", "It must not be empty; use `insert` to add text."));
    }
    if old == new {
        return Err(invalid("new_str", new, "It is the same as `old_str`: nothing would change."));
    }
    let file = OpenFile::read(&action.path)?;
    let (start, old, new) = file.locate(old, new)?;
    let end = start + old.len();
    let head = file.before.text.get(..start).unwrap_or_default();
    let tail = file.before.text.get(end..).unwrap_or_default();
    let changed = format!("{head}{new}{tail}");

    let first_line = head.matches('\n').count();
    let added = new.matches('\n').count();
    let snippet = snippet(&changed, first_line, first_line + added + 1, desk.secrets);
    let path = action.path.display();
    let text = format!(
        "The file {path} has been edited. Here's the result of running `cat -n` on a snippet of {path}:\n\
         {snippet}{CHECK}"
    );
    file.save(&action.path, changed, text, desk)
}

pub fn insert(action: &Action, desk: &mut Desk<'_>) -> Result<Done, String> {
    let line = *action.require("insert_line", &action.insert_line)?;
    let new = action.require("new_str", &action.new_str)?;
    let file = OpenFile::read(&action.path)?;
    let total = lines(&file.before.text).len();
    if line > total {
        let reason = format!("It should be within the range of allowed values: [0, {total}].");
        return Err(invalid("insert_line", line, reason));
    }
    let offset: usize = file.before.text.split_inclusive('\n').take(line).map(str::len).sum();
    let head = file.before.text.get(..offset).unwrap_or_default();
    let tail = file.before.text.get(offset..).unwrap_or_default();
    let new = file.before.native_newlines(new);
    let joint = if head.is_empty() || head.ends_with('\n') { "" } else { "\n" };
    // A last line without a newline stays without one.
    let end = if new.ends_with('\n') || tail.is_empty() && !joint.is_empty() { "" } else { "\n" };
    let changed = format!("{head}{joint}{new}{end}{tail}");

    let snippet = snippet(&changed, line, line + lines(&new).len().max(1), desk.secrets);
    let text = format!(
        "The file {} has been edited. Here's the result of running `cat -n` on a snippet of the edited file:\n\
         {snippet}{CHECK}",
        action.path.display()
    );
    file.save(&action.path, changed, text, desk)
}

pub fn undo(action: &Action, desk: &mut Desk<'_>) -> Result<Done, String> {
    let path = &action.path;
    let current = store::read_text(path)?;
    let earlier = desk
        .history
        .pop(path, &current)
        .ok_or_else(|| format!("No edit history found for {}.", path.display()))?;
    if let Err(error) = store::replace(path, &earlier.bytes) {
        let _ = desk.history.push(path, &earlier.bytes, &current);
        return Err(error);
    }
    let (old, _) = decode(&current);
    let (new, _) = decode(&earlier.bytes);
    let warning = if earlier.changed_since {
        " The file had also been changed by other means since that edit; those changes are gone too."
    } else {
        ""
    };
    let shown = numbered(&lines(&new), 1, desk.secrets);
    let path = path.display();
    let text = format!(
        "Last edit to {path} undone successfully.{warning} Here's the result of running `cat -n` on {path}:\n{shown}"
    );
    Ok(Done::edited(text, Some(old), new))
}

/// The file of an edit.
struct OpenFile {
    before: Before,
    path: String,
}

impl OpenFile {
    fn read(path: &Path) -> Result<Self, String> {
        Ok(Self { before: Before::read(path)?, path: path.display().to_string() })
    }

    /// Where the only match of `old` begins, and the texts that fit: as given, with the file's own newlines,
    /// or without outer blanks.
    fn locate(&self, old: &str, new: &str) -> Result<(usize, String, String), String> {
        let plain = (old.to_owned(), new.to_owned());
        let native = (self.before.native_newlines(old), self.before.native_newlines(new));
        let mixed = (old.replace('\n', "\r\n"), new.replace('\n', "\r\n"));
        let stripped = (old.trim().to_owned(), new.trim().to_owned());
        for (old, new) in [plain, native, mixed, stripped] {
            if old.is_empty() {
                continue;
            }
            let mut found = self.before.text.match_indices(&old).map(|(start, _)| start);
            let starts: Vec<usize> = found.by_ref().take(NAMED).collect();
            match starts.as_slice() {
                [] => {}
                [start] => return Ok((*start, old, new)),
                several => return Err(self.ambiguous(&old, several, found.count())),
            }
        }
        Err(format!(
            "No replacement was performed, old_str `{old}` did not appear verbatim in {}.",
            self.path
        ))
    }

    /// `others`: how many more matches there are behind those that start here.
    fn ambiguous(&self, old: &str, starts: &[usize], others: usize) -> String {
        let (mut line, mut done) = (1, 0);
        let lines = starts.iter().map(|start| {
            line += self.before.text.get(done..*start).unwrap_or_default().matches('\n').count();
            done = *start;
            line
        });
        let lines: Vec<usize> = lines.collect();
        let others = if others == 0 { String::new() } else { format!(" and {others} times behind these") };
        format!(
            "No replacement was performed. Multiple occurrences of old_str `{old}` in lines {lines:?}{others}. Please \
             ensure it is unique."
        )
    }

    fn save(self, path: &Path, changed: String, answer: String, desk: &mut Desk<'_>) -> Result<Done, String> {
        let remark = self.before.save(path, &changed, desk.history)?;
        let answer = match remark {
            None => answer,
            Some(remark) => format!("{answer}\n{remark}"),
        };
        Ok(Done::edited(answer, Some(self.before.text), changed))
    }
}

/// The lines from `first` (counted from 0) to before `end`, with some around them.
fn snippet(text: &str, first: usize, end: usize, secrets: &dyn Secrets) -> String {
    let lines = lines(text);
    let from = first.saturating_sub(CONTEXT);
    let to = (end + CONTEXT).min(lines.len());
    numbered(lines.get(from..to).unwrap_or_default(), from + 1, secrets)
}
