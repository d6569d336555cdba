//! Base64 as it is in URLs of clients, tools and servers.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text as providers take it: the usual letters, no white space, filled up. `None`: it is no base64.
pub(super) fn clean(data: &str) -> Option<Cow<'_, str>> {
    let body = data.trim_end_matches('=');
    let is_usual = body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    if is_usual && data.len().is_multiple_of(4) && data.len() - body.len() <= 2 {
        return (!body.is_empty()).then_some(Cow::Borrowed(data));
    }
    let mut clean = String::with_capacity(data.len() + 2);
    for letter in data.chars().filter(|letter| !letter.is_ascii_whitespace() && *letter != '=') {
        match letter {
            '-' => clean.push('+'),
            '_' => clean.push('/'),
            '+' | '/' => clean.push(letter),
            letter if letter.is_ascii_alphanumeric() => clean.push(letter),
            _ => return None,
        }
    }
    if clean.is_empty() || clean.len() % 4 == 1 {
        return None;
    }
    while !clean.len().is_multiple_of(4) {
        clean.push('=');
    }
    Some(Cow::Owned(clean))
}

/// So many of the first bytes, or a few less, of a clean text.
pub(super) fn begin(data: &str, bytes: usize) -> Vec<u8> {
    let letters = data.len().min(bytes / 3 * 4);
    STANDARD.decode(data.get(..letters).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_brought_into_its_usual_form() {
        for (written, usual) in
            [("AA==", "AA=="), ("AA", "AA=="), ("A-_/\n AA", "A+//AA=="), ("AAAA", "AAAA")]
        {
            assert_eq!(clean(written).as_deref(), Some(usual), "{written}");
        }
        for none in ["", "=", "A", "AAAA%", "é"] {
            assert_eq!(clean(none), None, "{none}");
        }
        assert_eq!(begin("AAECAwQF", 3), [0, 1, 2]);
        assert_eq!(begin("AAECAwQF", 300), [0, 1, 2, 3, 4, 5]);
    }
}
