//! A file's text apart from how it is stored: encoding, byte order mark and line endings are put back as
//! they were.

const BOM: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
}

/// How a file stores its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    encoding: Encoding,
    mark: bool,
    /// Every newline has a carriage return before it; the text shows none.
    crlf: bool,
}

impl Form {
    pub const PLAIN: Self = Self { encoding: Encoding::Utf8, mark: false, crlf: false };

    pub const fn has_crlf(self) -> bool {
        self.crlf
    }
}

/// Text with bare newlines (unless the file mixes both kinds), and the form to give it back in.
pub fn decode(bytes: &[u8]) -> (String, Form) {
    let mark = bytes.starts_with(BOM);
    let body = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let (text, encoding) = match str::from_utf8(body) {
        Ok(text) => (text.to_owned(), Encoding::Utf8),
        Err(_) => (body.iter().map(|byte| char::from(*byte)).collect(), Encoding::Latin1),
    };
    let newlines = text.matches('\n').count();
    let crlf = newlines > 0 && newlines == text.matches("\r\n").count();
    let text = if crlf { text.replace("\r\n", "\n") } else { text };
    (text, Form { encoding, mark, crlf })
}

/// Text that does not fit into Latin-1 any more becomes UTF-8.
pub fn encode(text: &str, form: Form) -> Vec<u8> {
    let text = if form.crlf { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text.to_owned() };
    if form.encoding == Encoding::Latin1
        && let Some(bytes) = text.chars().map(|letter| u8::try_from(letter).ok()).collect()
    {
        return bytes;
    }
    let mut bytes = if form.mark { BOM.to_vec() } else { Vec::new() };
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Binary files have NULs; text has none.
pub fn is_binary(bytes: &[u8]) -> bool {
    memchr::memchr(0, bytes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(bytes: &[u8], text: &str) {
        let (decoded, form) = decode(bytes);
        assert_eq!(decoded, text);
        assert_eq!(encode(&decoded, form), bytes);
    }

    #[test]
    fn every_form_survives_a_round_trip() {
        survives(b"plain\n", "plain\n");
        survives("\u{feff}märk\n".as_bytes(), "märk\n");
        survives(b"one\r\ntwo\r\n", "one\ntwo\n");
        survives(b"mixed\r\ntwo\n", "mixed\r\ntwo\n");
        survives(b"caf\xe9\r\n", "café\n");
        survives(b"", "");
    }

    #[test]
    fn text_beyond_latin_1_turns_the_file_into_utf8() {
        let (text, form) = decode(b"caf\xe9\n");
        assert_eq!(encode(&format!("{text}€"), form), "café\n€".as_bytes());
    }
}
