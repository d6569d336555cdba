//! JSON as servers write it in practice: with half a character at the end of a piece, raw line ends within texts, numbers
//! that are none. What can be understood is.
//!
//! Half a character (`\ud83d` alone) has no place in a Rust text. Until its other half comes, a character from the end of
//! the last private plane stands for it: [`Growing`] makes one of two.

use serde_json::Value;

use crate::problem::Problem;

/// That no text with a meaning has: icons live in other private planes. One for each half.
const FIRST_MARK: u32 = 0x0010_F800;
const FIRST_HALF: u16 = 0xD800;
const HALVES: u16 = 0x0800;
/// Those from here on come second.
const SECOND: u16 = 0xDC00;

/// Most values of a text that is longer than [`LONG`]. Each takes much more room than its text: a list of zeros forty times.
const MOST_VALUES: usize = 1 << 20;
const LONG: usize = 1 << 20;

/// Reads a whole text; half characters are replaced.
pub(crate) fn whole(bytes: &[u8]) -> Option<Value> {
    let mut value = piece(bytes)?;
    clean(&mut value);
    Some(value)
}

/// Reads the body of an answer, which is an object or none.
pub(crate) fn object(body: &[u8]) -> Result<Value, Problem> {
    whole(body).filter(Value::is_object).ok_or_else(|| Problem::garbled("the answer is no JSON"))
}

/// Reads a part of something larger; the halves in its texts are for [`Growing`] to join. What would take very much room is
/// none.
pub(crate) fn piece(bytes: &[u8]) -> Option<Value> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.len() > LONG && memchr::memchr3_iter(b',', b'[', b'{', bytes).count() > MOST_VALUES {
        return None;
    }
    serde_json::from_slice(bytes).ok().or_else(|| serde_json::from_str(&repaired(bytes)).ok())
}

/// Replaces the halves that nothing will join any more.
pub(crate) fn clean(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(is_mark) => {
            let mut grown = Growing::default();
            grown.push(text);
            *text = grown.finish();
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        _ => {}
    }
}

/// A JSON text in which no half of a character is written out: providers refuse it within the arguments of calls.
pub(crate) fn without_halves(text: String) -> String {
    let has_escape = text.contains("\\ud") || text.contains("\\uD");
    if !has_escape || serde_json::from_str::<Value>(&text).is_ok() {
        return text;
    }
    let repaired = repaired(text.as_bytes());
    repaired
        .chars()
        .map(|letter| if is_mark(letter) { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}

/// A text that comes in pieces, which may be cut within a character.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growing {
    text: String,
    /// The mark of a first half, at the end of what came.
    held: Option<char>,
}

impl Growing {
    /// Adds a piece, and answers what it has made the text longer by.
    pub(crate) fn push(&mut self, piece: &str) -> &str {
        let start = self.text.len();
        let has_marks = self.held.is_some() || piece.contains(is_mark);
        if has_marks {
            piece.chars().for_each(|letter| self.push_letter(letter));
        } else {
            self.text.push_str(piece);
        }
        self.text.get(start..).unwrap_or_default()
    }

    pub(crate) fn so_far(&self) -> &str {
        &self.text
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn finish(mut self) -> String {
        if self.held.take().is_some() {
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        self.text
    }

    fn push_letter(&mut self, letter: char) {
        if let Some(first) = self.held.take() {
            if let Some(whole) = joined(first, letter) {
                self.text.push(whole);
                return;
            }
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        match half(letter) {
            Some(half) if half < SECOND => self.held = Some(letter),
            Some(_) => self.text.push(char::REPLACEMENT_CHARACTER),
            None => self.text.push(letter),
        }
    }
}

fn is_mark(letter: char) -> bool {
    u32::from(letter) >= FIRST_MARK
}

/// What a mark stands for.
fn half(letter: char) -> Option<u16> {
    let number = u32::from(letter).checked_sub(FIRST_MARK)?;
    u16::try_from(number).ok()?.checked_add(FIRST_HALF)
}

fn mark(half: u16) -> Option<char> {
    char::from_u32(FIRST_MARK + u32::from(half.checked_sub(FIRST_HALF).filter(|number| *number < HALVES)?))
}

fn joined(first: char, second: char) -> Option<char> {
    char::decode_utf16([half(first)?, half(second)?]).next()?.ok()
}

/// The text with all that JSON does not allow put right: what is no UTF-8, raw control characters and half characters
/// within texts, and the words for numbers that are none.
fn repaired(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_text) = (text.as_ref(), false);
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = match letter {
            '"' => {
                in_text = !in_text;
                out.push(letter);
                after
            }
            '\\' if in_text => escape(after, &mut out),
            control if in_text && u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
                after
            }
            _ if !in_text => match no_number(rest) {
                Some(behind) => {
                    out.push_str("null");
                    behind
                }
                None => {
                    out.push(letter);
                    after
                }
            },
            _ => {
                out.push(letter);
                after
            }
        };
    }
    out
}

/// Python writes such words for numbers that are none. Answers what follows.
fn no_number(text: &str) -> Option<&str> {
    ["NaN", "Infinity", "-Infinity"].iter().find_map(|word| text.strip_prefix(word))
}

/// Copies what stands behind a backslash, and answers what follows.
fn escape<'a>(text: &'a str, out: &mut String) -> &'a str {
    let number = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
    let Some(unit) = number(text) else {
        out.push('\\');
        let letter = text.chars().next();
        out.extend(letter);
        return text.get(letter.map_or(0, char::len_utf8)..).unwrap_or_default();
    };
    let after = text.get(5..).unwrap_or_default();
    let Some(mark) = mark(unit) else {
        out.push_str("\\u");
        out.push_str(text.get(1..5).unwrap_or_default());
        return after;
    };
    let second = after.strip_prefix('\\').and_then(number);
    match second.and_then(|second| char::decode_utf16([unit, second]).next()?.ok()) {
        Some(letter) => {
            out.push(letter);
            after.get(6..).unwrap_or_default()
        }
        None => {
            out.push(mark);
            after
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> String {
        whole(json.as_bytes()).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn what_servers_write_is_understood() {
        assert_eq!(text(r#""a \ud83d""#), "a \u{fffd}");
        assert_eq!(text(r#""\ude00\ud83d\ude00\ud83d b""#), "\u{fffd}😀\u{fffd} b");
        assert_eq!(text("\"a\nb\tc\\n\""), "a\nb\tc\n");
        assert_eq!(text("\u{feff}\"a\""), "a");
        assert_eq!(whole(b"\"a\xffb\""), Some("a\u{fffd}b".into()));
        let odd = whole(br#"{"cost": NaN, "most": -Infinity, "text": "NaN \"NaN\" \ud83d"}"#).unwrap();
        assert_eq!(odd, serde_json::json!({"cost": null, "most": null, "text": "NaN \"NaN\" \u{fffd}"}));
        for none in ["", "{", "{\"a\": \"\\ud83d", "<html>", "{} {}"] {
            assert_eq!(whole(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn arguments_keep_their_form_but_for_half_characters() {
        for kept in [r#"{"a": "\ud83d\ude00", "b":  1}"#, "not json \\ud8", "{\"a\": 1"] {
            assert_eq!(without_halves(kept.to_owned()), kept);
        }
        assert_eq!(
            without_halves(r#"{"a":  "\ud83d", "b": "\ud83d\ude00\""}"#.to_owned()),
            "{\"a\":  \"\u{fffd}\", \"b\": \"😀\\\"\"}"
        );
    }

    proptest! {
        /// Wherever a text is cut, between the two halves of a character as well, it comes together again; and what is
        /// shown of it on the way is all of it.
        #[test]
        fn pieces_cut_anywhere_make_the_text(text in "[a-z\"\\\\é\n😀𝒳\u{10fffd}]{0,12}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            // The last private characters are those that stand for halves.
            let text = text.replace('\u{10fffd}', "\u{f8ff}");
            let units: Vec<u16> = text.encode_utf16().collect();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(units.len() + 1)).collect();
            places.extend([0, units.len()]);
            places.sort_unstable();
            let (mut grown, mut shown) = (Growing::default(), String::new());
            for pair in places.windows(2) {
                let written: String = units[pair[0]..pair[1]].iter().map(|unit| format!("\\u{unit:04x}")).collect();
                let value = piece(format!("\"{written}\"").as_bytes()).unwrap();
                shown.push_str(grown.push(value.as_str().unwrap()));
            }
            prop_assert_eq!(&shown, &text);
            prop_assert_eq!(grown.finish(), text);
        }
    }
}
