//! Writing text for bash so that the terminal's line discipline cannot touch it.

use std::fmt::Write as _;

/// A terminal in line mode drops what goes beyond 4095 bytes of a line.
const MAX_LINE: usize = 3500;

/// Appends `text` as a `$'…'` word: printable bytes only, broken into short continued lines.
///
/// `text` must hold no NUL: bash has no way to keep one.
pub fn push_quoted(line: &mut String, text: &str) {
    line.push_str("$'");
    let mut length = line.len() - line.rfind('\n').map_or(0, |newline| newline + 1);
    for letter in text.chars() {
        let before = line.len();
        match letter {
            '\\' => line.push_str("\\\\"),
            '\'' => line.push_str("\\'"),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            control if control.is_ascii_control() => {
                // Three digits always, so that a digit after it stays a digit.
                let _ = write!(line, "\\{:03o}", u32::from(control));
            }
            other => line.push(other),
        }
        length += line.len() - before;
        if length > MAX_LINE {
            line.push_str("'\\\n$'");
            length = 2;
        }
    }
    line.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_has_short_lines_and_no_control_characters() {
        let mut line = "eval ".to_owned();
        push_quoted(&mut line, &format!("a\tb'c\\\n\u{3}1\u{7f}{}", "ü".repeat(10_000)));
        assert!(line.starts_with(r"eval $'a\tb\'c\\\n\0031\177ü"));
        assert!(line.split('\n').all(|part| part.len() < 4000 && !part.contains(char::is_control)));
    }
}
