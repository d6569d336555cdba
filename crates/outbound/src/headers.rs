//! Headers that somebody else has named.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// What holds headers panics at some tens of thousands.
pub const MOST_HEADERS: usize = 100;

/// One of them cannot be sent, or there are too many. It does not say which: they hold credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header is not valid, or there are more than {MOST_HEADERS}")]
pub struct BadHeaders;

/// Adds them to those that are there. A later one of the same name replaces an earlier one.
///
/// # Errors
/// Where one of them cannot be sent, or there would be too many.
pub fn add_headers<'a>(
    headers: &mut HeaderMap,
    named: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), BadHeaders> {
    for (name, value) in named {
        if headers.len() >= MOST_HEADERS {
            return Err(BadHeaders);
        }
        let name: HeaderName = name.parse().map_err(|_| BadHeaders)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| BadHeaders)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(named: &[(String, String)]) -> Result<HeaderMap, BadHeaders> {
        let mut headers = HeaderMap::new();
        let named = named.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        add_headers(&mut headers, named).map(|()| headers)
    }

    #[test]
    fn no_number_of_headers_is_too_much_for_the_server() {
        let many = |number: usize| -> Vec<_> {
            (0..number).map(|name| (format!("x{name}"), "v".to_owned())).collect()
        };
        assert_eq!(added(&many(MOST_HEADERS)).unwrap().len(), MOST_HEADERS);
        for number in [MOST_HEADERS + 1, 40_000] {
            assert_eq!(added(&many(number)), Err(BadHeaders), "{number}");
        }
    }

    #[test]
    fn what_can_be_no_header_is_refused_without_being_repeated() {
        for (name, value) in [("marked words", "v"), ("x", "marked\nwords"), ("", "marked")] {
            let refused = added(&[(name.to_owned(), value.to_owned())]).unwrap_err();
            assert!(!refused.to_string().contains("marked"), "{refused}");
        }
        let shown = format!("{:?}", added(&[("x".to_owned(), "marked".to_owned())]).unwrap());
        assert!(!shown.contains("marked"), "{shown}");
    }
}
