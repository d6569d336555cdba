//! The shapes in which one secret appears in output: as it is, trimmed, line by line, quoted, encoded.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shorter texts occur by themselves: hiding `1` or `on` would shred every output.
pub const SHORTEST: usize = 6;
/// A line of a secret is more often a common word than the whole is.
const SHORTEST_LINE: usize = 8;
/// Of a very long secret the first lines are also known by themselves, and all of them together.
const MOST_LINES: usize = 200;
const MOST_ENCODED_LINES: usize = 20;
/// As the programs `base64` and `openssl` break their lines.
const LINE_LENGTHS: [usize; 2] = [76, 64];

/// What libraries leave as it is: nothing, what parts paths, whatever has a meaning in URLs.
const KEPT_IN_URLS: [&[u8]; 4] = [b"", b"/", b"!*'()", b";,/?:@&=+$#!*'()"];
const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// Whether a value can be hidden.
pub fn is_long_enough(value: &str) -> bool {
    value.trim().len() >= SHORTEST
}

/// Every text that gives `value` away; none for one that is too short.
pub fn of(value: &str) -> BTreeSet<String> {
    if !is_long_enough(value) {
        return BTreeSet::new();
    }
    let trimmed = value.trim();
    let mut forms = BTreeSet::new();
    for whole in BTreeSet::from([value.to_owned(), trimmed.to_owned(), folded(trimmed)]) {
        forms.extend([json(&whole), json_in_ascii(&whole), in_single_quotes(&whole), after_dollar(&whole)]);
        forms.extend([backslashed(&whole), in_double_quotes(&whole)]);
        for digits in [UPPER, LOWER] {
            forms.extend(KEPT_IN_URLS.map(|kept| percent(&whole, kept, digits)));
            // As forms are sent.
            forms.insert(percent(&whole, b"", digits).replace("%20", "+"));
        }
        forms.insert(whole.replace('\n', "\r\n"));
        forms.extend(in_base64(whole.as_bytes()));
        forms.insert(whole);
    }
    let lines = trimmed.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
    for line in lines.take(MOST_LINES) {
        forms.extend([line.to_owned(), json(line)]);
    }
    forms.retain(|form| form.trim().len() >= SHORTEST);
    forms
}

/// As an unquoted `echo` prints it.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
}

/// As Python writes it by default.
fn json_in_ascii(text: &str) -> String {
    let mut units = [0; 2];
    json(text).chars().fold(String::new(), |mut escaped, character| {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
        escaped
    })
}

fn in_single_quotes(text: &str) -> String {
    text.replace('\'', r"'\''")
}

/// As bash lists its variables.
fn in_double_quotes(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, character| {
        if "\\\"$`".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
        escaped
    })
}

/// Between `$'` and `'`.
fn after_dollar(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('\'', r"\'")
        .replace('\n', r"\n")
        .replace('\t', r"\t")
        .replace('\r', r"\r")
}

/// As `printf %q` writes it.
fn backslashed(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "%+-./:=@_".contains(c);
    text.chars().fold(String::new(), |mut escaped, character| {
        if !is_plain(character) {
            escaped.push('\\');
        }
        escaped.push(character);
        escaped
    })
}

/// Percent-encoded but for letters, digits, `-._~` and what is `kept`.
fn percent(text: &str, kept: &[u8], digits: &[u8; 16]) -> String {
    let digit = |index: u8| char::from(digits.get(usize::from(index)).copied().unwrap_or_default());
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
        encoded
    })
}

/// What of an encoding does not depend on what stands before and after, at each of the three places where the
/// secret can begin; and the lines of one that stands alone.
fn in_base64(bytes: &[u8]) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for engine in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let mut padded = vec![0; before];
            padded.extend_from_slice(bytes);
            let encoded = engine.encode(&padded);
            let unknown_at_start = [0, 2, 3].get(before).copied().unwrap_or_default();
            let certain = padded.len() / 3 * 4 + [0, 1, 2].get(padded.len() % 3).copied().unwrap_or_default();
            forms.extend(encoded.get(unknown_at_start..certain).map(str::to_owned));
        }
        let alone = engine.encode(bytes);
        for length in LINE_LENGTHS.into_iter().filter(|length| alone.len() > *length) {
            let lines = alone.as_bytes().chunks(length);
            let lines: Vec<_> = lines.filter_map(|line| std::str::from_utf8(line).ok()).collect();
            forms.insert(lines.join("\n"));
            if lines.len() <= MOST_ENCODED_LINES {
                forms.extend(lines.into_iter().map(str::to_owned));
            }
        }
    }
    forms.retain(|form| form.len() >= SHORTEST_LINE);
    forms
}
