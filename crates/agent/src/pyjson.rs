//! JSON as Python's `json.dumps` writes it: `", "` and `": "` between things, ASCII only.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

/// `arguments` as text.
pub fn text(arguments: &Map<String, Value>) -> String {
    let mut out = Vec::with_capacity(128);
    // Writing a JSON map to memory cannot fail.
    let _ = arguments.serialize(&mut Serializer::with_formatter(&mut out, Python));
    String::from_utf8(out).unwrap_or_default()
}

struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        if text.is_ascii() {
            return writer.write_all(text.as_bytes());
        }
        let mut units = [0_u16; 2];
        for c in text.chars() {
            if c.is_ascii() {
                write!(writer, "{c}")?;
                continue;
            }
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_looks_as_python_writes_it() {
        let arguments: Map<String, Value> =
            serde_json::from_str(r#"{"a":[1,2.5,null],"b":{"c":"ü😀\n\"\u0001"},"d":{}}"#).unwrap();
        assert_eq!(
            text(&arguments),
            r#"{"a": [1, 2.5, null], "b": {"c": "\u00fc\ud83d\ude00\n\"\u0001"}, "d": {}}"#
        );
    }
}
