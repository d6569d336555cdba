//! The ways in which programs write a text, made letter by letter while they are compared: however many there are of a long
//! text, they take no memory.

use std::sync::Arc;

/// What libraries leave as it is: nothing, what parts paths, whatever has a meaning in URLs.
pub const KEPT_IN_URLS: [&[u8]; 4] = [b"", b"/", b"!*'()", b";,/?:@&=+$#!*'()"];
pub const UPPER: &[u8; 16] = b"0123456789ABCDEF";
pub const LOWER: &[u8; 16] = b"0123456789abcdef";
pub const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The most bytes that one step writes.
const LONGEST_STEP: usize = 16;

#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Plain,
    Json,
    /// As Python writes JSON by default.
    JsonInAscii,
    InSingleQuotes,
    /// As bash lists its variables.
    InDoubleQuotes,
    /// Between `$'` and `'`.
    AfterDollar,
    /// As `printf %q` writes it.
    Backslashed,
    CarriageReturns,
    /// Percent-encoded but for letters, digits, `-._~` and what is `kept`; with `plus` as forms are sent.
    Percent {
        kept: &'static [u8],
        digits: &'static [u8; 16],
        plus: bool,
    },
    /// What of an encoding does not depend on what stands after it and on the `before` bytes of a group before it.
    Base64 {
        letters: &'static [u8; 64],
        before: usize,
    },
    /// The encoding of a text that stands alone, in lines of this length.
    Base64Lines {
        letters: &'static [u8; 64],
        length: usize,
    },
    /// As many bytes as the text would have, whatever they are.
    Anything,
}

/// A part of a text, in one shape.
#[derive(Clone, Debug)]
pub struct Form {
    pub text: Arc<str>,
    pub shape: Shape,
    pub from: usize,
    pub to: usize,
}

impl Form {
    pub fn of(text: &Arc<str>, shape: Shape) -> Self {
        Self { text: Arc::clone(text), shape, from: 0, to: text.len() }
    }

    pub fn cursor(&self) -> Cursor {
        Cursor { form: self.clone(), at: self.from, step: [0; LONGEST_STEP], length: 0, used: 0 }
    }

    /// Behind so many bytes.
    pub fn cursor_after(&self, bytes: usize) -> Cursor {
        let mut cursor = self.cursor();
        cursor.by_ref().take(bytes).for_each(drop);
        cursor
    }
}

/// A place in a form. Gives its bytes one after the other.
#[derive(Clone, Debug)]
pub struct Cursor {
    form: Form,
    /// Where the next step begins in the text.
    at: usize,
    step: [u8; LONGEST_STEP],
    length: usize,
    used: usize,
}

impl Iterator for Cursor {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.used += 1;
        Some(byte)
    }
}

impl Cursor {
    /// Goes on if the next byte is this one. Whether it was.
    pub fn next_if(&mut self, byte: u8) -> bool {
        let is_next =
            self.peek().is_some_and(|next| next == byte || matches!(self.form.shape, Shape::Anything));
        self.used += usize::from(is_next);
        is_next
    }

    pub fn is_over(&mut self) -> bool {
        self.peek().is_none()
    }

    fn peek(&mut self) -> Option<u8> {
        while self.used == self.length {
            if self.at >= self.form.to {
                return None;
            }
            (self.used, self.length) = (0, 0);
            self.make_step();
        }
        self.step.get(self.used).copied()
    }

    fn make_step(&mut self) {
        match self.form.shape {
            Shape::Anything => {
                self.at += 1;
                self.put(&[0]);
            }
            Shape::Percent { kept, digits, plus } => self.percent(kept, digits, plus),
            Shape::Base64 { letters, before } => self.base64(letters, before, None),
            Shape::Base64Lines { letters, length } => self.base64(letters, 0, Some(length)),
            _ => self.character(),
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.step.get_mut(self.length) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    fn put_character(&mut self, character: char) {
        self.put(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn character(&mut self) {
        let rest = self.form.text.get(self.at..).unwrap_or_default();
        let Some(character) = rest.chars().next() else {
            self.at = self.form.to;
            return;
        };
        self.at += character.len_utf8();
        match (self.form.shape, character) {
            (Shape::Json | Shape::JsonInAscii, _) => self.json(character),
            (Shape::InSingleQuotes, '\'') => self.put(br"'\''"),
            (Shape::InDoubleQuotes, '\\' | '"' | '$' | '`') => self.escaped(character),
            (Shape::AfterDollar, '\\' | '\'') => self.escaped(character),
            (Shape::AfterDollar, '\n') => self.put(br"\n"),
            (Shape::AfterDollar, '\t') => self.put(br"\t"),
            (Shape::AfterDollar, '\r') => self.put(br"\r"),
            (Shape::Backslashed, _) if !character.is_alphanumeric() && !"%+-./:=@_".contains(character) => {
                self.escaped(character);
            }
            (Shape::CarriageReturns, '\n') => self.put(b"\r\n"),
            _ => self.put_character(character),
        }
    }

    fn escaped(&mut self, character: char) {
        self.put(b"\\");
        self.put_character(character);
    }

    fn json(&mut self, character: char) {
        match character {
            '"' | '\\' => self.escaped(character),
            '\u{8}' => self.put(br"\b"),
            '\t' => self.put(br"\t"),
            '\n' => self.put(br"\n"),
            '\u{c}' => self.put(br"\f"),
            '\r' => self.put(br"\r"),
            ' '..='~' => self.put_character(character),
            _ if character >= ' ' && matches!(self.form.shape, Shape::Json) => self.put_character(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    self.put(br"\u");
                    for shift in [12, 8, 4, 0] {
                        self.put(&[letter(LOWER, *unit >> shift & 15)]);
                    }
                }
            }
        }
    }

    fn percent(&mut self, kept: &[u8], digits: &[u8; 16], plus: bool) {
        let byte = self.form.text.as_bytes().get(self.at).copied().unwrap_or_default();
        self.at += 1;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            self.put(&[byte]);
        } else if plus && byte == b' ' {
            self.put(b"+");
        } else {
            self.put(&[b'%', letter(digits, u16::from(byte >> 4)), letter(digits, u16::from(byte & 15))]);
        }
    }

    /// Three bytes, or what is left of them.
    fn base64(&mut self, letters: &[u8; 64], before: usize, line: Option<usize>) {
        let done = self.at - self.form.from;
        if line.is_some_and(|length| done > 0 && (done / 3 * 4).is_multiple_of(length)) {
            self.put(b"\n");
        }
        let unknown = if done == 0 { before } else { 0 };
        let end = (self.at + 3 - unknown).min(self.form.to);
        let known = self.form.text.as_bytes().get(self.at..end).unwrap_or_default();
        let mut group = [0; 3];
        for (place, byte) in group.iter_mut().skip(unknown).zip(known) {
            *place = *byte;
        }
        let count = unknown + known.len();
        self.at = end;
        let [one, two, three] = group.map(u16::from);
        let all = [one >> 2, one << 4 & 48 | two >> 4, two << 2 & 60 | three >> 6, three & 63];
        // The last letter that any bits of what is known are in is certain where nothing follows.
        let certain = match (count, line) {
            (3.., _) => 4,
            (_, Some(_)) => count + 1,
            (_, None) => count,
        };
        // Of those that bits from before are in nothing is known.
        let hidden = if unknown > 0 { unknown + 1 } else { 0 };
        for value in all.into_iter().take(certain).skip(hidden) {
            self.put(&[letter(letters, value)]);
        }
        if line.is_some() {
            self.put(b"==".get(..3 - count).unwrap_or_default());
        }
    }
}

fn letter(letters: &[u8], value: u16) -> u8 {
    letters.get(usize::from(value)).copied().unwrap_or_default()
}
