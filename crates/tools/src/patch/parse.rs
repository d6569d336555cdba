//! A patch, as it is written.

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File: ";
const DELETE: &str = "*** Delete File: ";
const UPDATE: &str = "*** Update File: ";
const MOVE: &str = "*** Move to: ";
const END_OF_FILE: &str = "*** End of File";

/// What begins a part that is not of the one before.
const BORDERS: [&str; 4] = [END, "*** Add File:", "*** Delete File:", "*** Update File:"];

/// What is to become of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// As the model has written it.
    pub path: String,
    pub change: Change,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    Add(Vec<String>),
    Delete,
    Update { move_to: Option<String>, hunks: Vec<Hunk> },
}

/// Lines that stand together in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hunk {
    /// Lines that come before it, one after the other, each after `@@`.
    pub anchors: Vec<String>,
    pub lines: Vec<Line>,
    /// Nothing comes after it.
    pub at_end: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Keep(String),
    Remove(String),
    Insert(String),
}

impl Hunk {
    /// What has to be in the file.
    pub fn context(&self) -> Vec<&str> {
        self.lines.iter().filter_map(Line::kept_or_removed).collect()
    }
}

impl Line {
    fn kept_or_removed(&self) -> Option<&str> {
        match self {
            Self::Keep(text) | Self::Remove(text) => Some(text),
            Self::Insert(_) => None,
        }
    }
}

/// # Errors
/// The first line that is not as it should be, in words for the model.
pub fn parse(text: &str) -> Result<Vec<Section>, String> {
    let text = text.trim();
    if !text.starts_with(BEGIN) {
        return Err(format!("Invalid patch: must start with '{BEGIN}'"));
    }
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    if lines.pop().map(str::trim_end) != Some(END) {
        return Err(format!("Invalid patch text: must end with '{END}'"));
    }
    let mut reader = Reader { lines, next: 0 };
    let mut sections = Vec::new();
    while let Some(section) = reader.section()? {
        sections.push(section);
    }
    Ok(sections)
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Reader<'a> {
    fn section(&mut self) -> Result<Option<Section>, String> {
        let Some(line) = self.take() else { return Ok(None) };
        let after = |start: &str| line.strip_prefix(start).map(|path| path.trim_end().to_owned());
        let (path, change) = if let Some(path) = after(ADD) {
            (path, Change::Add(self.added()?))
        } else if let Some(path) = after(DELETE) {
            (path, Change::Delete)
        } else if let Some(path) = after(UPDATE) {
            let move_to = self.take_after(MOVE).map(|path| path.trim_end().to_owned());
            (path, Change::Update { move_to, hunks: self.hunks()? })
        } else {
            return Err(format!("Unknown Line: {line}"));
        };
        Ok(Some(Section { path, change }))
    }

    fn added(&mut self) -> Result<Vec<String>, String> {
        let mut added = Vec::new();
        while let Some(line) = self.take_in_section() {
            let Some(text) = line.strip_prefix('+') else {
                return Err(format!("Invalid Add File Line: {line}"));
            };
            added.push(text.to_owned());
        }
        Ok(added)
    }

    fn hunks(&mut self) -> Result<Vec<Hunk>, String> {
        let mut hunks = Vec::new();
        while let Some(line) = self.line().filter(|line| !is_border(line)) {
            let anchors = self.anchors();
            if anchors.is_none() && !hunks.is_empty() {
                return Err(format!("Invalid Line:\n{line}"));
            }
            hunks.push(self.hunk(anchors.unwrap_or_default())?);
        }
        Ok(hunks)
    }

    /// `None` without any `@@`. After one that stands alone there is none to look for.
    fn anchors(&mut self) -> Option<Vec<String>> {
        let mut anchors = None;
        while let Some(line) = self.line().filter(|line| line.starts_with("@@")) {
            self.next += 1;
            let anchors = anchors.get_or_insert_with(Vec::new);
            let text = line.trim_start_matches("@@");
            let text = text.strip_prefix(' ').unwrap_or(text);
            if !text.trim().is_empty() {
                anchors.push(text.to_owned());
            }
        }
        anchors
    }

    fn hunk(&mut self, anchors: Vec<String>) -> Result<Hunk, String> {
        let mut hunk = Hunk { anchors, ..Hunk::default() };
        while let Some(line) = self.line().filter(|line| !is_border(line) && !line.starts_with("@@")) {
            self.next += 1;
            if line.trim_end() == END_OF_FILE {
                hunk.at_end = true;
                return Ok(hunk);
            }
            hunk.lines.push(read(line)?);
        }
        if hunk.lines.is_empty() {
            return Err(format!("Nothing in this section: {}", self.line().unwrap_or(END)));
        }
        Ok(hunk)
    }

    fn line(&self) -> Option<&'a str> {
        self.lines.get(self.next).copied()
    }

    fn take(&mut self) -> Option<&'a str> {
        let line = self.line()?;
        self.next += 1;
        Some(line)
    }

    fn take_in_section(&mut self) -> Option<&'a str> {
        self.line().filter(|line| !is_border(line))?;
        self.take()
    }

    fn take_after(&mut self, start: &str) -> Option<&'a str> {
        let rest = self.line()?.strip_prefix(start)?;
        self.next += 1;
        Some(rest)
    }
}

fn is_border(line: &str) -> bool {
    BORDERS.iter().any(|border| line.starts_with(border))
}

fn read(line: &str) -> Result<Line, String> {
    if let Some(text) = line.strip_prefix('+') {
        return Ok(Line::Insert(text.to_owned()));
    }
    if let Some(text) = line.strip_prefix('-') {
        return Ok(Line::Remove(text.to_owned()));
    }
    match line.strip_prefix(' ') {
        Some(text) => Ok(Line::Keep(text.to_owned())),
        // Models leave the blank of an empty line away.
        None if line.is_empty() => Ok(Line::Keep(String::new())),
        None => Err(format!("Invalid Line: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(body: &str) -> Result<Vec<Section>, String> {
        parse(&format!("*** Begin Patch\n{body}\n*** End Patch"))
    }

    #[test]
    fn all_parts_of_a_patch_are_read() {
        let sections = patch(
            "*** Add File: a b.txt\n+one\n+\n*** Delete File: old\n*** Update File: x\n*** Move to: y\n@@ class A\n@@ def f\n \
             keep\n-gone\n+come\n\n@@\n+last\n*** End of File",
        );
        let keep = |text: &str| Line::Keep(text.to_owned());
        let first = Hunk {
            anchors: vec!["class A".to_owned(), "def f".to_owned()],
            lines: vec![
                keep("keep"),
                Line::Remove("gone".to_owned()),
                Line::Insert("come".to_owned()),
                keep(""),
            ],
            at_end: false,
        };
        let second = Hunk { anchors: Vec::new(), lines: vec![Line::Insert("last".to_owned())], at_end: true };
        let expected = [
            ("a b.txt", Change::Add(vec!["one".to_owned(), String::new()])),
            ("old", Change::Delete),
            ("x", Change::Update { move_to: Some("y".to_owned()), hunks: vec![first, second] }),
        ];
        let expected = expected.map(|(path, change)| Section { path: path.to_owned(), change });
        assert_eq!(sections.unwrap(), expected);
        assert_eq!(parse("\n*** Begin Patch\r\n*** Delete File: a\r\n*** End Patch\r\n").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_patch_is_told_by_its_first_wrong_line() {
        for (text, error) in [
            ("--- a\n+++ b", "Invalid patch: must start with '*** Begin Patch'"),
            ("*** Begin Patch\n*** Delete File: a", "Invalid patch text: must end with '*** End Patch'"),
            ("*** Begin Patch", "Invalid patch text: must end with '*** End Patch'"),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
        for (body, error) in [
            ("hello", "Unknown Line: hello"),
            ("*** Add File: a\nb", "Invalid Add File Line: b"),
            ("*** Update File: a\n a\n*** End of File\n b", "Invalid Line:\n b"),
            ("*** Update File: a\n@@ def", "Nothing in this section: *** End Patch"),
            ("*** Update File: a\n*** Unknown", "Invalid Line: *** Unknown"),
            ("*** Update File: a\nx", "Invalid Line: x"),
        ] {
            assert_eq!(patch(body), Err(error.to_owned()), "{body}");
        }
    }
}
