//! The forms in which one secret appears in output: as it is, trimmed, line by line, quoted, encoded.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::shape::{Form, KEPT_IN_URLS, LOWER, STANDARD, Shape, UPPER, URL_SAFE};

/// Shorter texts occur by themselves: hiding `1` or `on` would shred every output.
const SHORTEST: usize = 6;
/// A line of a secret is more often a common word than the whole is.
const SHORTEST_LINE: usize = 8;
/// Of a very long secret the first lines are also known by themselves, and all of them together.
const MOST_LINES: usize = 200;
const MOST_ENCODED_LINES: usize = 20;
/// As the programs `base64` and `openssl` break their lines.
const LINE_LENGTHS: [usize; 2] = [76, 64];

/// Whether a value can be hidden.
pub fn is_long_enough(value: &str) -> bool {
    value.trim().len() >= SHORTEST
}

/// Every text that gives `value` away; none for one that is too short. Some may be the same.
pub fn of(value: &str) -> Vec<Form> {
    if !is_long_enough(value) {
        return Vec::new();
    }
    let trimmed = value.trim();
    let mut forms = Vec::new();
    for whole in BTreeSet::from([value.to_owned(), trimmed.to_owned(), folded(trimmed)]) {
        let whole: Arc<str> = Arc::from(whole);
        forms.extend(shapes().map(|shape| Form::of(&whole, shape)));
        encoded_lines(&whole, &mut forms);
    }
    let trimmed: Arc<str> = Arc::from(trimmed);
    for (from, to) in lines(&trimmed).take(MOST_LINES) {
        for shape in [Shape::Plain, Shape::Json] {
            forms.push(Form { text: Arc::clone(&trimmed), shape, from, to });
        }
    }
    forms
}

fn shapes() -> impl Iterator<Item = Shape> {
    let quoted = [
        Shape::Plain,
        Shape::Json,
        Shape::JsonInAscii,
        Shape::InSingleQuotes,
        Shape::InDoubleQuotes,
        Shape::AfterDollar,
        Shape::Backslashed,
        Shape::CarriageReturns,
    ];
    let percent = [UPPER, LOWER].into_iter().flat_map(|digits| {
        let encoded = KEPT_IN_URLS.map(|kept| Shape::Percent { kept, digits, plus: false });
        encoded.into_iter().chain([Shape::Percent { kept: b"", digits, plus: true }])
    });
    let base64 = [STANDARD, URL_SAFE]
        .into_iter()
        .flat_map(|letters| (0..3).map(move |before| Shape::Base64 { letters, before }));
    quoted.into_iter().chain(percent).chain(base64)
}

/// As an unquoted `echo` prints it.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where the lines of a text are, blanks around them left out.
fn lines(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut begin = 0;
    let places = text.split_inclusive('\n').map(move |line| {
        let from = begin + line.len() - line.trim_start().len();
        begin += line.len();
        (from, from + line.trim().len())
    });
    places.filter(|(from, to)| to - from >= SHORTEST_LINE)
}

fn encoded_lines(whole: &Arc<str>, forms: &mut Vec<Form>) {
    for letters in [STANDARD, URL_SAFE] {
        let long = LINE_LENGTHS.into_iter().filter(|length| whole.len().div_ceil(3) * 4 > *length);
        for length in long {
            let (shape, bytes) = (Shape::Base64Lines { letters, length }, length / 4 * 3);
            forms.push(Form::of(whole, shape));
            if whole.len().div_ceil(bytes) > MOST_ENCODED_LINES {
                continue;
            }
            let starts = (0..whole.len()).step_by(bytes);
            let line = |from: usize| {
                let to = (from + bytes).min(whole.len());
                Form { text: Arc::clone(whole), shape, from, to }
            };
            forms.extend(starts.map(line).filter(|line| line.cursor().count() >= SHORTEST_LINE));
        }
    }
}

/// What a form is known by: its beginning, its length, and a hash of all of it.
pub struct Summary {
    pub head: String,
    pub length: usize,
    pub hash: u64,
}

impl Summary {
    /// With at most `longest` bytes of the beginning. `None` for a form that would hide ordinary text.
    pub fn of(form: &Form, longest: usize) -> Option<Self> {
        let (mut head, mut length, mut hasher) = (Vec::with_capacity(longest), 0, DefaultHasher::new());
        for byte in form.cursor() {
            if length < longest {
                head.push(byte);
            }
            length += 1;
            hasher.write_u8(byte);
        }
        let whole = str::from_utf8(&head).map_or_else(|error| error.valid_up_to(), str::len);
        head.truncate(whole);
        let head =
            String::from_utf8(head).ok().filter(|head| head.trim().len() >= SHORTEST || length > longest)?;
        Some(Self { head, length, hash: hasher.finish() })
    }
}
