//! `view`: files with line numbers, and directories.

use std::fs;
use std::path::{Path, PathBuf};

use super::action::invalid;
use crate::files::lines::{clipped, lines};
use crate::files::text::decode;
use crate::secrets::Secrets;

/// Characters an answer may hold.
const MAX_CHARS: usize = 16_000;
/// Entries of a directory that are looked at.
const MAX_ENTRIES: usize = 2000;

/// `lines` as `cat -n` prints them, the first with number `first`. The middle of a long listing is left out
/// line by line, so the numbers stay right. Secrets are hidden before a line is cut.
pub fn numbered(lines: &[&str], first: usize, secrets: &dyn Secrets) -> String {
    let part = |place: usize| {
        let line = lines.get(place).copied().unwrap_or_default();
        format!("{:6}\t{}\n", first + place, clipped(line, secrets))
    };
    clip(lines.len(), part, |from, to| {
        let (from, to) = (first + from, first + to - 1);
        format!("[... lines {from} to {to} are left out; see them with view_range [{from}, {to}] ...]\n")
    })
}

pub fn file(
    path: &Path,
    bytes: &[u8],
    range: Option<&[i64]>,
    secrets: &dyn Secrets,
) -> Result<String, String> {
    let (text, _) = decode(bytes);
    let lines = lines(&text);
    let heading = format!("Here's the result of running `cat -n` on {}:\n", path.display());
    let Some(range) = range else {
        return Ok(heading + &numbered(&lines, 1, secrets));
    };
    let (first, last) = check_range(range, lines.len())?;
    let note = if last > lines.len() {
        format!("NOTE: line {last} is beyond the end of the file, which has {} lines.\n", lines.len())
    } else {
        String::new()
    };
    let shown = lines.get(first - 1..last.min(lines.len())).unwrap_or_default();
    Ok(note + &heading + &numbered(shown, first, secrets))
}

/// First and last line, both counted from 1.
fn check_range(range: &[i64], total: usize) -> Result<(usize, usize), String> {
    let wrong = |reason: String| invalid("view_range", format!("{range:?}"), reason);
    let &[first, last] = range else {
        return Err(wrong("It should be a list of two integers.".to_owned()));
    };
    if total == 0 {
        return Err(wrong(
            "The file is empty: there are no lines to choose from. Leave `view_range` out.".to_owned(),
        ));
    }
    let start = usize::try_from(first).ok().filter(|start| (1..=total).contains(start)).ok_or_else(|| {
        wrong(format!(
            "Its first element `{first}` should be within the range of lines of the file: [1, {total}]."
        ))
    })?;
    if last == -1 {
        return Ok((start, total));
    }
    let end = usize::try_from(last).ok().filter(|end| *end >= start).ok_or_else(|| {
        wrong(format!("Its second element `{last}` should be -1 or not smaller than the first, `{first}`."))
    })?;
    Ok((start, end))
}

pub fn directory(path: &Path) -> Result<String, String> {
    let mut entries = vec![with_slash(path)];
    let hidden = collect(path, 2, &mut entries)
        .map_err(|error| format!("Ran into {error} while trying to list {}", path.display()))?;
    entries.sort();
    let complete = entries.len() < MAX_ENTRIES;
    let part = |place: usize| entries.get(place).map(|entry| format!("{entry}\n")).unwrap_or_default();
    let listed =
        clip(entries.len(), part, |from, to| format!("[... {} entries are left out ...]\n", to - from));
    let path = path.display();
    let mut text = format!(
        "Here's the files and directories up to 2 levels deep in {path}, excluding hidden items:\n{}",
        listed.trim_end_matches('\n')
    );
    if !complete {
        text.push_str(&format!("\n\nOnly the first {MAX_ENTRIES} entries found were looked at."));
    }
    if hidden > 0 {
        text.push_str(&format!(
            "\n\n{hidden} hidden files/directories in this directory are excluded. You can use 'ls -la {path}' to \
             see them."
        ));
    }
    Ok(text)
}

/// Adds what is in `folder` and answers how many hidden entries it has. Unreadable directories below it
/// count as empty.
fn collect(folder: &Path, depth: usize, entries: &mut Vec<String>) -> std::io::Result<usize> {
    let mut hidden = 0;
    let mut below: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            hidden += 1;
        } else if entries.len() < MAX_ENTRIES {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                entries.push(with_slash(&path));
                below.push(path);
            } else {
                entries.push(path.to_string_lossy().into_owned());
            }
        }
    }
    if depth > 1 {
        below.sort();
        for folder in below {
            let _ = collect(&folder, depth - 1, entries);
        }
    }
    Ok(hidden)
}

fn with_slash(path: &Path) -> String {
    format!("{}/", path.to_string_lossy().trim_end_matches('/'))
}

/// Joins so many parts, leaving out whole ones from the middle when all would be too long. What is left out is not made.
/// `notice` names the first left out and the one after the last.
fn clip(count: usize, part: impl Fn(usize) -> String, notice: impl Fn(usize, usize) -> String) -> String {
    let all = fitting((0..count).map(&part), MAX_CHARS);
    if all.len() == count {
        return all.concat();
    }
    let half = (MAX_CHARS - notice(count, count).len()) / 2;
    let head = fitting(all.into_iter(), half);
    let from = head.len();
    let mut tail = fitting((from..count).rev().map(&part), half);
    let to = count - tail.len();
    tail.reverse();
    [head.concat(), notice(from, to), tail.concat()].concat()
}

/// The first parts, as many as fit into `room`.
fn fitting(parts: impl Iterator<Item = String>, room: usize) -> Vec<String> {
    let mut used = 0;
    parts
        .take_while(|part| {
            used += part.chars().count();
            used <= room
        })
        .collect()
}
