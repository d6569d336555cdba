//! Percent-encoding, as paths, queries and headers have it.

/// What stands behind each `%` and two digits; a `%` without them is itself.
#[must_use]
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        // A sign before a digit would be taken for a part of the number.
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let pair = digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        match pair.filter(|_| byte == b'%') {
            Some(value) => {
                decoded.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn a_percent_sign_without_two_digits_is_itself() {
        for (text, decoded) in [
            ("a%20b", "a b"),
            ("%zz%", "%zz%"),
            ("%2", "%2"),
            ("%+f%-1% 1", "%+f%-1% 1"),
            ("%2525", "%25"),
            ("", ""),
        ] {
            assert_eq!(percent_decoded(text.as_bytes()), decoded.as_bytes(), "{text}");
        }
    }
}
