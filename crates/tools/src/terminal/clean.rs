//! From a terminal's bytes to readable text: UTF-8, no escape sequences, lines in their last state.

use std::mem;

/// A line longer than this is given out before it ends.
const MAX_LINE: usize = 64 * 1024;
/// An escape sequence longer than this is given up.
const MAX_ESCAPE: usize = 8 * 1024;

/// A stream filter. Feed it bytes as they come, cut anywhere.
///
/// Only the current line is kept: a carriage return starts it again (progress bars), a backspace takes back
/// a letter.
#[derive(Default)]
pub struct Cleaner {
    line: String,
    /// A carriage return came; what follows decides whether it was the end of the line.
    returned: bool,
    escape: Escape,
    escape_length: usize,
    /// The parameters of a CSI sequence.
    parameters: Vec<u8>,
    /// The beginning of a letter whose other bytes are still to come.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Started,
    /// After ESC and an intermediate byte.
    Intermediate,
    /// ESC `[` and parameters.
    Control,
    /// OSC, DCS and the like: up to BEL or ESC `\`.
    Text,
    /// ESC inside of such a text.
    TextEnding,
}

impl Cleaner {
    /// Appends the lines that `bytes` complete to `lines`.
    pub fn feed(&mut self, bytes: &[u8], lines: &mut String) {
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            if self.escape != Escape::None {
                self.escape_byte(*byte);
                rest = tail;
            } else if is_control(*byte) {
                self.end_letters();
                self.control(*byte, lines);
                rest = tail;
            } else {
                let length = rest.iter().position(|byte| is_control(*byte)).unwrap_or(rest.len());
                let (letters, tail) = rest.split_at(length);
                self.letters(letters);
                rest = tail;
            }
            // Tabs alone make a long line, too.
            if self.line.len() > MAX_LINE {
                lines.push_str(&self.line);
                self.line.clear();
            }
        }
    }

    /// Nothing more comes of what was begun.
    pub fn end(&mut self) {
        self.end_letters();
        self.escape = Escape::None;
        self.returned = false;
    }

    /// Takes out the line that is not complete yet.
    pub fn take_line(&mut self) -> String {
        mem::take(&mut self.line)
    }

    fn control(&mut self, byte: u8, lines: &mut String) {
        match byte {
            b'\n' => {
                lines.push_str(&self.line);
                lines.push('\n');
                if self.line.capacity() > 4096 {
                    self.line = String::new();
                }
                self.line.clear();
                self.returned = false;
            }
            b'\r' => self.returned = true,
            b'\t' => {
                self.begin_if_returned();
                self.line.push('\t');
            }
            0x08 => {
                self.line.pop();
            }
            0x1b => {
                self.escape = Escape::Started;
                self.escape_length = 0;
            }
            _ => {}
        }
    }

    fn begin_if_returned(&mut self) {
        if mem::take(&mut self.returned) {
            self.line.clear();
        }
    }

    fn letters(&mut self, bytes: &[u8]) {
        self.begin_if_returned();
        if self.partial.is_empty() {
            self.decode(bytes);
            return;
        }
        let mut joined = mem::take(&mut self.partial);
        joined.extend_from_slice(bytes);
        self.decode(&joined);
    }

    fn decode(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            match str::from_utf8(rest) {
                Ok(text) => {
                    self.line.push_str(text);
                    return;
                }
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.line.push_str(str::from_utf8(good).unwrap_or_default());
                    let Some(length) = error.error_len() else {
                        self.partial = bad.to_vec();
                        return;
                    };
                    self.line.push(char::REPLACEMENT_CHARACTER);
                    rest = bad.get(length..).unwrap_or_default();
                }
            }
        }
    }

    /// A control byte cuts off a letter that has begun.
    fn end_letters(&mut self) {
        if !mem::take(&mut self.partial).is_empty() {
            self.line.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn escape_byte(&mut self, byte: u8) {
        self.escape_length += 1;
        if self.escape_length > MAX_ESCAPE {
            self.escape = Escape::None;
            return;
        }
        self.escape = match (self.escape, byte) {
            (Escape::TextEnding, b'\\') => Escape::None,
            (_, 0x1b) if matches!(self.escape, Escape::Text | Escape::TextEnding) => Escape::TextEnding,
            (Escape::Text | Escape::TextEnding, 0x07) => Escape::None,
            (Escape::Text | Escape::TextEnding, _) => Escape::Text,
            (_, 0x1b) => Escape::Started,
            (Escape::Started, b'[') => {
                self.parameters.clear();
                Escape::Control
            }
            (Escape::Started, b']' | b'P' | b'X' | b'^' | b'_') => Escape::Text,
            (Escape::Started | Escape::Intermediate, 0x20..=0x2f) => Escape::Intermediate,
            (Escape::Control, 0x20..=0x3f) => {
                self.parameters.push(byte);
                Escape::Control
            }
            (Escape::Control, b'K') => {
                self.erase_line();
                Escape::None
            }
            (Escape::None | Escape::Started | Escape::Intermediate | Escape::Control, _) => Escape::None,
        };
    }

    /// `K` erases to the right of the cursor: all, when it stands at the left; `1K` and `2K` erase the left.
    fn erase_line(&mut self) {
        if self.returned || matches!(self.parameters.as_slice(), b"1" | b"2") {
            self.line.clear();
        }
    }
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(chunks: &[&[u8]]) -> String {
        let mut cleaner = Cleaner::default();
        let mut text = String::new();
        for chunk in chunks {
            cleaner.feed(chunk, &mut text);
        }
        text + &cleaner.take_line()
    }

    #[test]
    fn utf8_is_never_cut() {
        let text = "añ€😀\nz";
        for size in 1..=text.len() {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            assert_eq!(clean(&chunks), text, "chunks of {size}");
        }
    }

    #[test]
    fn each_bad_sequence_becomes_one_replacement() {
        assert_eq!(clean(&[b"a\xe2\x82", b"b\xff\xf0\x9f\n\xc3"]), "a\u{fffd}b\u{fffd}\u{fffd}\n");
        assert_eq!(clean(&[b"\xff\xfe!"]), "\u{fffd}\u{fffd}!");
    }

    #[test]
    fn progress_bars_collapse_to_their_last_state() {
        assert_eq!(clean(&[b" 10%\r 20", b"%\r100%\r\ndone"]), "100%\ndone");
        assert_eq!(clean(&[b"working\r\x1b[K", b"ok\r"]), "ok");
        assert_eq!(clean(&[b"abc\x08\x08X\r\r\n"]), "aX\n");
    }

    #[test]
    fn escape_sequences_are_taken_out() {
        assert_eq!(clean(&[b"\x1b[1;3", b"1mred\x1b[0m \x1b(Bx\x1b="]), "red x");
        assert_eq!(clean(&[b"\x1b]0;title\x07a\x1b]8;;http://x\x1b", b"\\b\x1bPq\x1b\\c"]), "abc");
        assert_eq!(clean(&[b"\x1b[?2004hcmd\x07"]), "cmd");
    }

    #[test]
    fn a_line_without_an_end_is_given_out_whatever_it_is_made_of() {
        for piece in ["\t", "x", "\u{e9}", "\u{e9}\t", "\u{1}\t", "\u{8}\t\t"] {
            let (mut cleaner, mut text) = (Cleaner::default(), String::new());
            for _ in 0..64 {
                cleaner.feed(piece.repeat(4096).as_bytes(), &mut text);
                assert!(cleaner.line.len() <= MAX_LINE, "{} bytes of {piece:?}", cleaner.line.len());
            }
            assert!(text.len() >= 64 * 4096 - MAX_LINE, "{} bytes of {piece:?}", text.len());
        }
    }

    #[test]
    fn an_endless_escape_sequence_does_not_swallow_everything() {
        let mut bytes = b"\x1b]".to_vec();
        bytes.extend(vec![b'x'; MAX_ESCAPE]);
        bytes.extend(b"seen");
        assert!(clean(&[&bytes]).ends_with("seen"));
    }
}
