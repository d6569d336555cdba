//! Finds what an answer says about its use in the bytes that pass by, and keeps nothing else of them: whose answer it is
//! also says how long it is.

use serde_json::{Map, Value};

/// Bytes of one report: providers need some hundred.
const REPORT: usize = 4 << 10;
/// Of a name that is still looked at; those that are looked for are shorter.
const NAME: usize = 16;
/// Reports that come again and again are all the same size: more names than this are no counts.
const NAMES: usize = 32;

/// The counts of an answer, by the names of its dialect.
#[derive(Default)]
pub(crate) struct Counts {
    scanner: Scanner,
    counts: Map<String, Value>,
}

/// Where in a JSON text it is. What stands in texts of the model is no part of the form.
#[derive(Default)]
struct Scanner {
    depth: u32,
    in_text: bool,
    escaped: bool,
    /// The text that was last read, as far as it is looked at: before a colon, a name.
    name: Vec<u8>,
    /// Whether the field that it is in, of the whole, may hold a report.
    may_hold: bool,
    report: Option<Report>,
}

struct Report {
    /// Of the object that has it.
    depth: u32,
    bytes: Vec<u8>,
}

impl Counts {
    /// The next bytes of a JSON text.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let plain = self.scanner.plain(rest);
            let (text, tail) = rest.split_at(plain);
            self.scanner.keep(text);
            let Some((byte, after)) = tail.split_first() else { return };
            if let Some(report) = self.scanner.take(*byte) {
                self.note(&report);
            }
            rest = after;
        }
    }

    /// Another text begins.
    pub(crate) fn begin(&mut self) {
        self.scanner = Scanner::default();
    }

    pub(crate) fn into_object(self) -> Value {
        Value::Object(self.counts)
    }

    /// Counts are totals: a later one replaces an earlier one.
    fn note(&mut self, report: &[u8]) {
        let Ok(Some(report)) = serde_json::from_slice::<Option<Map<String, Value>>>(report) else { return };
        for (name, count) in report {
            let has_room = self.counts.len() < NAMES || self.counts.contains_key(&name);
            if !count.is_null() && has_room {
                self.counts.insert(name, count);
            }
        }
    }
}

impl Scanner {
    /// How many of the next bytes are nothing but text.
    fn plain(&self, bytes: &[u8]) -> usize {
        match self.in_text && !self.escaped {
            true => memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len()),
            false => 0,
        }
    }

    fn keep(&mut self, text: &[u8]) {
        let room = NAME.saturating_sub(self.name.len());
        self.name.extend(text.iter().take(room));
        self.keep_of_report(text);
    }

    fn keep_of_report(&mut self, bytes: &[u8]) {
        let Some(report) = &mut self.report else { return };
        if report.bytes.len() + bytes.len() > REPORT {
            self.report = None;
        } else {
            report.bytes.extend_from_slice(bytes);
        }
    }

    /// Takes a byte that may change where it is; answers the report that it ends.
    fn take(&mut self, byte: u8) -> Option<Vec<u8>> {
        let is_form = !self.in_text;
        let mut ended = None;
        match byte {
            _ if self.escaped => {
                self.escaped = false;
                self.name.push(byte);
            }
            b'\\' if self.in_text => {
                self.escaped = true;
                // No name that is looked for has one.
                self.name.push(byte);
            }
            b'"' => {
                self.in_text = !self.in_text;
                if self.in_text {
                    self.name.clear();
                }
            }
            b',' => ended = self.end(),
            b'}' | b']' => {
                ended = self.end();
                self.depth = self.depth.saturating_sub(1);
            }
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            _ => {}
        }
        self.name.truncate(NAME);
        self.keep_of_report(&[byte]);
        if is_form && byte == b':' {
            self.begin();
        }
        ended
    }

    /// A value begins, of the field that was named last.
    fn begin(&mut self) {
        let is_report = self.name == b"usage";
        match self.depth {
            1 => self.may_hold = self.name == b"message" || self.name == b"response",
            2 if self.may_hold => {}
            _ => return,
        }
        if is_report {
            self.report = Some(Report { depth: self.depth, bytes: Vec::new() });
        }
    }

    /// A value has ended: that of the report, if it is the one.
    fn end(&mut self) -> Option<Vec<u8>> {
        self.report.take_if(|report| report.depth == self.depth).map(|report| report.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn counts_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Value {
        let mut counts = Counts::default();
        pieces.into_iter().for_each(|piece| counts.feed(piece));
        counts.into_object()
    }

    #[test]
    fn only_what_the_answer_itself_reports_is_counted() {
        let reports = json!({"prompt_tokens": 7, "details": {"cached": [1, {"a": "}],"}]}, "none": null});
        let reported = json!({"prompt_tokens": 7, "details": {"cached": [1, {"a": "}],"}]}});
        let said = json!({"content": "\"usage\":{\"prompt_tokens\":0},\\\"", "usage": {"prompt_tokens": 1}});
        for whole in [
            json!({"choices": [said.clone()], "usage": reports.clone()}),
            json!({"a": [{"usage": {"prompt_tokens": 1}}], "message": {"content": [said.clone()], "usage": reports.clone()}}),
            json!({"response": {"output": [said.clone()], "usage": reports.clone(), "z": said}, "message": "usage"}),
        ] {
            assert_eq!(counts_of([whole.to_string().as_bytes()]), reported, "{whole}");
            let spread = serde_json::to_string_pretty(&whole).unwrap();
            assert_eq!(counts_of([spread.as_bytes()]), reported, "{whole}");
        }
    }

    #[test]
    fn a_report_that_is_none_or_too_long_counts_nothing() {
        let long = json!({"usage": {"a": "x".repeat(REPORT)}, "z": 1}).to_string();
        for text in
            [r#"{"usage":null}"#, r#"{"usage":7}"#, r#"{"usage":{"a":1"#, "usage", "[DONE]", "}}}]", &long]
        {
            assert_eq!(counts_of([text.as_bytes()]), json!({}), "{text}");
        }
    }

    #[test]
    fn of_an_answer_however_long_hardly_anything_is_held() {
        let mut counts = Counts::default();
        for number in 0..1_000 {
            counts.feed(b"{\"choices\":[{\"content\":\"");
            counts.feed(&[b'x'; 64 << 10]);
            counts.feed(format!("\"}}],\"usage\":{{\"name{number}\":1}}}}").as_bytes());
            counts.begin();
        }
        counts.feed(b"{\"");
        counts.feed(&[b'n'; 1 << 20]);
        assert!(counts.scanner.name.capacity() <= 2 * NAME && counts.counts.len() <= NAMES);
        counts.feed(b"\":1,\"usage\":[\"");
        counts.feed(&[b'n'; 1 << 20]);
        assert!(counts.scanner.report.is_none());
    }

    proptest! {
        /// Wherever the bytes are cut, the counts are the same as those of the whole.
        #[test]
        fn splits_do_not_matter(text in "[a-z\"\\\\{}\\[\\],: é]{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let whole = json!({"choices": [text.clone()], (text): 1, "usage": {"a": {"b": 2}}}).to_string();
            let whole = whole.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            places.extend([0, whole.len()]);
            places.sort_unstable();
            let pieces = places.windows(2).map(|pair| &whole[pair[0]..pair[1]]);
            prop_assert_eq!(counts_of(pieces), json!({"a": {"b": 2}}));
        }
    }
}
