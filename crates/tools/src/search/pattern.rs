//! What `grep` looks for in the lines of a file, whatever the case of its letters.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::halt::{Halt, Stop};
use crate::open::{self, Opened, Symlink};

/// Bytes of a file that are read at once.
const PIECE: u64 = 64 * 1024;
/// A longer line is searched in parts.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// The same for a pattern that looks around: at each place it may read all of the part.
const LONGEST_SEEN: usize = 8 * 1024;
/// Of such a pattern in one part.
const MOST_STEPS: usize = 300_000;
/// Bytes of a compiled pattern: a larger one may need that many steps for each letter.
const LARGEST: usize = 1024 * 1024;

pub enum Pattern {
    /// Found in a time that only depends on the length of the text.
    Plain(regex::bytes::Regex),
    /// With what the other cannot: looking around, and back at what was found before.
    Rich(fancy_regex::Regex),
}

impl Pattern {
    /// # Errors
    /// What is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let plain = regex::bytes::RegexBuilder::new(pattern)
            .case_insensitive(true)
            .multi_line(true)
            .crlf(true)
            .size_limit(LARGEST)
            .build();
        if let Ok(plain) = plain {
            return Ok(Self::Plain(plain));
        }
        let rich = fancy_regex::RegexBuilder::new(pattern)
            .case_insensitive(true)
            .backtrack_limit(MOST_STEPS)
            .delegate_size_limit(LARGEST)
            .build();
        rich.map(Self::Rich).map_err(|error| error.to_string())
    }

    /// Whether a line of the file has it. A file that is not text or cannot be read has nothing.
    ///
    /// # Errors
    /// Those of `halt`; where looking for it takes too long.
    pub fn is_in(&self, path: &Path, halt: &Halt) -> Result<bool, Stop> {
        let Ok(Opened::File(mut file)) = open::path(path, Symlink::Refuse) else { return Ok(false) };
        let mut held = Vec::new();
        loop {
            halt.check()?;
            let known = held.len();
            let Some(more) = read(&mut file, &mut held) else { return Ok(false) };
            if held.get(known..).is_some_and(|new| memchr::memchr(0, new).is_some()) {
                return Ok(false);
            }
            let whole = match memchr::memrchr(b'\n', &held) {
                _ if more == 0 => held.len(),
                Some(newline) => newline + 1,
                None if held.len() < LONGEST_LINE => continue,
                None => held.len(),
            };
            if self.is_in_lines(held.get(..whole).unwrap_or_default(), halt)? {
                return Ok(true);
            }
            if more == 0 {
                return Ok(false);
            }
            held.drain(..whole);
        }
    }

    fn is_in_lines(&self, text: &[u8], halt: &Halt) -> Result<bool, Stop> {
        match self {
            // What is found in all of it may reach over several lines; what is not is in none.
            Self::Plain(regex) => Ok(regex.is_match(text) && lines(text).any(|line| regex.is_match(line))),
            Self::Rich(regex) => {
                for part in lines(text).flat_map(parts) {
                    halt.check()?;
                    if regex.is_match(String::from_utf8_lossy(part).as_ref()).map_err(too_costly)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

fn too_costly(_: fancy_regex::Error) -> Stop {
    Stop::Failed(
        "Looking for this pattern takes too long. Use a simpler one, without nested repetitions.".to_owned(),
    )
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Of a line; an empty one is one, too.
fn parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let empty = line.is_empty().then_some(line);
    line.chunks(LONGEST_SEEN).chain(empty)
}

/// Reads a piece and answers how much it was; `None` if it cannot be read.
fn read(file: &mut File, held: &mut Vec<u8>) -> Option<usize> {
    file.take(PIECE).read_to_end(held).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;

    fn finds(pattern: &str, text: impl AsRef<[u8]>) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, text).unwrap();
        let (halt, _guard) = Halt::new(&CancellationToken::new());
        Pattern::new(pattern).unwrap().is_in(&path, &halt).unwrap()
    }

    #[test]
    fn a_pattern_is_found_within_a_line_and_not_over_two() {
        assert!(finds("^B.*d$", "a\r\nbcd\r\ne"));
        assert!(!finds(r"a\s+b", "a\nb\n"));
        assert!(!finds("a[^x]b", "a\nb"));
        assert!(finds(r"a\s+b", "a\nb\na b\n"));
        assert!(!finds("x", ""));
    }

    #[test]
    fn looking_around_and_back_finds_what_stands_there() {
        assert!(finds(r"foo(?!bar)", "foobar\nfoobaz\n"));
        assert!(!finds(r"foo(?!bar)", "FOOBAR\n"));
        assert!(finds(r"(?<=let )Mut", "let mut x"));
        assert!(finds(r"(\w+) \1", b"\xff no No \xfe"));
    }

    #[test]
    fn a_brace_that_repeats_nothing_is_a_brace() {
        assert!(finds(r"fn main\(\) {", "fn main() {\n"));
    }

    #[test]
    fn what_is_no_text_has_nothing_and_what_is_no_utf8_is_searched() {
        assert!(!finds("elf", b"\x7fELF\0\0"));
        assert!(finds("caf.", b"caf\xe9s caf\xc3\xa9"));
        assert!(finds("needle", b"\xe9\xe8\nneedle"));
    }

    #[test]
    fn what_lies_over_two_pieces_is_found_and_a_line_without_end_ends() {
        let piece = usize::try_from(PIECE).unwrap();
        let mut text = "x".repeat(piece - 3);
        text.push_str(" needle\n");
        assert!(finds("needle", &text));
        assert!(finds("needle", format!("{}needle", "y".repeat(2 * LONGEST_LINE + 1))));
        assert!(finds("needle$", format!("{}needle", "line\n".repeat(piece))));
    }

    #[test]
    fn a_pattern_that_would_take_for_ever_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, format!("b{}", "a".repeat(5_000))).unwrap();
        let (halt, _guard) = Halt::within(Duration::from_secs(10), &CancellationToken::new());
        let found = Pattern::new(r"(a+)+\1b").unwrap().is_in(&path, &halt);
        assert!(matches!(found, Err(Stop::Failed(_))), "{found:?}");
    }
}
