//! Where the lines of a hunk stand in a file, and what becomes of the file there.

use super::parse::{Hunk, Line};

/// What of a line is compared.
type Reading = fn(&str) -> &str;

/// How lines are compared, and how far off that is.
const WAYS: [(Reading, u64); 3] = [(|line| line, 0), (str::trim_end, 1), (str::trim, 100)];
/// An anchor that has other blanks around it.
const LOOSE_ANCHOR: u64 = 1;
/// What should stand at the end of the file stands elsewhere.
const NOT_AT_END: u64 = 10_000;

/// Lines of a file times lines that are looked for in it: more would take too long where they are much alike.
const MOST_COMPARED: usize = 200_000_000;

/// The text with the hunks in it, and how far off they were: nothing if all stood there letter by letter.
///
/// # Errors
/// Lines that are not there, in words for the model.
pub fn patched(text: &str, hunks: &[Hunk]) -> Result<(String, u64), String> {
    // With a newline at its end, the last line is an empty one.
    let lines: Vec<&str> = text.split('\n').collect();
    let wanted: usize = hunks.iter().map(|hunk| hunk.anchors.len() + hunk.lines.len()).sum();
    if lines.len().saturating_mul(wanted) > MOST_COMPARED {
        return Err("The patch has too many lines for so large a file. Part it.".to_owned());
    }
    let mut patched: Vec<&str> = Vec::with_capacity(lines.len());
    let (mut done, mut off) = (0, 0);
    for hunk in hunks {
        let mut from = done;
        for anchor in &hunk.anchors {
            (from, off) = after(&lines, anchor, from, off);
        }
        let context = hunk.context();
        let (start, away) = find(&lines, &context, from, hunk.at_end).ok_or_else(|| {
            let kind = if hunk.at_end { "EOF Context" } else { "Context" };
            format!("Invalid {kind} {from}:\n{}", context.join("\n"))
        })?;
        off += away;
        patched.extend(lines.get(done..start).unwrap_or_default());
        done = start;
        for line in &hunk.lines {
            match line {
                Line::Insert(text) => patched.push(text),
                // As it is in the file, whatever blanks the patch has.
                Line::Keep(_) => {
                    patched.extend(lines.get(done));
                    done += 1;
                }
                Line::Remove(_) => done += 1,
            }
        }
    }
    patched.extend(lines.get(done..).unwrap_or_default());
    Ok((patched.join("\n"), off))
}

/// Goes on behind the line `anchor`. One that is behind already, or nowhere, says nothing.
fn after(lines: &[&str], anchor: &str, from: usize, off: u64) -> (usize, u64) {
    let (behind, ahead) = lines.split_at(from.min(lines.len()));
    for (form, away) in [(WAYS[0].0, 0), (WAYS[2].0, LOOSE_ANCHOR)] {
        let is_it = |line: &&str| form(line) == form(anchor);
        if behind.iter().any(is_it) {
            return (from, off);
        }
        if let Some(position) = ahead.iter().position(is_it) {
            return (from + position + 1, off + away);
        }
    }
    (from, off)
}

fn find(lines: &[&str], context: &[&str], from: usize, at_end: bool) -> Option<(usize, u64)> {
    if !at_end {
        return find_anywhere(lines, context, from);
    }
    let last = lines.len();
    // What comes to the end comes before the newline at the end.
    let ends = if lines.last() == Some(&"") { [last - 1, last] } else { [last, last] };
    for (form, away) in WAYS {
        for end in ends {
            let Some(start) = end.checked_sub(context.len()).filter(|start| *start >= from) else { continue };
            if lines.get(start..end).is_some_and(|lines| is_same(lines, context, form)) {
                return Some((start, away));
            }
        }
    }
    find_anywhere(lines, context, from).map(|(start, away)| (start, away + NOT_AT_END))
}

fn find_anywhere(lines: &[&str], context: &[&str], from: usize) -> Option<(usize, u64)> {
    if context.is_empty() {
        return Some((from, 0));
    }
    let lines = lines.get(from..)?;
    WAYS.into_iter().find_map(|(form, away)| {
        let position = lines.windows(context.len()).position(|lines| is_same(lines, context, form))?;
        Some((from + position, away))
    })
}

fn is_same(lines: &[&str], context: &[&str], form: fn(&str) -> &str) -> bool {
    lines.iter().zip(context).all(|(line, wanted)| form(line) == form(wanted))
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Change, parse};
    use super::*;

    fn patch(text: &str, hunks: &str) -> Result<(String, u64), String> {
        let patch = format!("*** Begin Patch\n*** Update File: f\n{hunks}\n*** End Patch");
        let Change::Update { hunks, .. } = parse(&patch).unwrap().remove(0).change else {
            panic!("no update")
        };
        patched(text, &hunks)
    }

    #[test]
    fn lines_are_found_letter_by_letter_then_without_blanks_at_their_ends_then_without_any_around() {
        for (hunk, off) in [("-b  b", 0), ("-b  b ", 1), ("-  b  b", 100)] {
            let (text, away) = patch("a\nb  b\nc\n", &format!(" a\n{hunk}\n+B")).unwrap();
            assert_eq!((text.as_str(), away), ("a\nB\nc\n", off), "{hunk}");
        }
        assert_eq!(patch("a\n", " b\n+c").unwrap_err(), "Invalid Context 0:\nb");
        assert_eq!(patch("\ta\n", " a\n+b").unwrap().0, "\ta\nb\n", "what stays is not touched");
    }

    #[test]
    fn a_hunk_stands_behind_its_anchors_and_behind_the_one_before() {
        let text = "def f\n  x\ndef g\n  x\ndef h\n  x\n";
        assert_eq!(patch(text, "@@ def g\n-  x\n+  y").unwrap().0, "def f\n  x\ndef g\n  y\ndef h\n  x\n");
        assert_eq!(patch(text, "@@   def g\n-  x\n+  y").unwrap().1, 1);
        assert_eq!(
            patch(text, "@@ def g\n@@ def h\n-  x\n+  y").unwrap().0,
            "def f\n  x\ndef g\n  x\ndef h\n  y\n"
        );
        assert_eq!(
            patch(text, "@@ -1,3 +1,4 @@\n-  x\n+  y").unwrap().0,
            "def f\n  y\ndef g\n  x\ndef h\n  x\n"
        );
        assert_eq!(
            patch(text, "-  x\n+  y\n@@\n-  x\n+  z").unwrap().0,
            "def f\n  y\ndef g\n  z\ndef h\n  x\n"
        );
        assert_eq!(patch(text, " def g\n@@\n def f").unwrap_err(), "Invalid Context 3:\ndef f");
    }

    #[test]
    fn what_goes_to_the_end_is_the_last_line_with_or_without_a_newline() {
        for (text, hunk, after, off) in [
            ("a\n", "@@\n+b\n*** End of File", "a\nb\n", 0),
            ("a", "@@\n+b\n*** End of File", "a\nb", 0),
            ("", "@@\n+b\n*** End of File", "b\n", 0),
            ("x\na\nx\n", " x\n+b\n*** End of File", "x\na\nx\nb\n", 0),
            ("x\na", " x\n+b\n*** End of File", "x\nb\na", 10_000),
            ("x\na", " a\n+b", "x\na\nb", 0),
            ("x\na\n", " a\n+b\n", "x\na\nb\n", 0),
        ] {
            assert_eq!(patch(text, hunk).unwrap(), (after.to_owned(), off), "{text:?} {hunk:?}");
        }
        let error = patch("x\ny\n", "-x\n@@\n-x\n*** End of File").unwrap_err();
        assert_eq!(error, "Invalid EOF Context 1:\nx");
    }
}
