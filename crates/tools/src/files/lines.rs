//! The lines of a text, as they are shown.

use crate::secrets::Secrets;

/// Characters of a line that are shown: a single one may not fill an answer alone.
const LONGEST: usize = 4_000;

/// The lines of a text, without their newlines. The empty text has none.
#[must_use]
pub fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::with_capacity(memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1);
    lines.extend(text.split_inclusive('\n').map(|line| line.trim_end_matches(['\n', '\r'])));
    lines
}

/// A line that is not too long. Secrets are hidden before it is cut.
#[must_use]
pub fn clipped(line: &str, secrets: &dyn Secrets) -> String {
    if line.char_indices().nth(LONGEST).is_none() {
        return line.to_owned();
    }
    let line = secrets.mask(line);
    let Some((end, _)) = line.char_indices().nth(LONGEST) else { return line };
    let shown = line.get(..end).unwrap_or_default();
    let rest = line.chars().count() - LONGEST;
    format!("{shown} [... {rest} more characters in this line]")
}
