//! Whether a client has already what it asks for, by RFC 9110, section 13.1.2.

use http::{HeaderMap, HeaderValue, header};

/// Whether one of the tags that the client has is this one; `None` where it names none. Whoever compresses on the way makes
/// a tag a weak one.
pub fn is_known(asked: &HeaderMap, tag: &str) -> Option<bool> {
    let mut lists = asked.get_all(header::IF_NONE_MATCH).iter().peekable();
    lists.peek()?;
    Some(lists.any(|list| names(list, tag)))
}

fn names(list: &HeaderValue, tag: &str) -> bool {
    let known = list.to_str().unwrap_or_default().split(',').map(str::trim);
    known.map(|known| known.strip_prefix("W/").unwrap_or(known)).any(|known| known == tag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_any_list_also_as_a_weak_one_and_to_who_takes_anything() {
        let asked = |lists: &[&'static str]| {
            let lists = lists.iter().map(|list| (header::IF_NONE_MATCH, HeaderValue::from_static(list)));
            lists.collect::<HeaderMap>()
        };
        assert_eq!(is_known(&asked(&[]), "\"a\""), None);
        for lists in [&["\"a\""][..], &["\"b\", W/\"a\""], &["*"], &["\"b\"", "\"a\""]] {
            assert_eq!(is_known(&asked(lists), "\"a\""), Some(true), "{lists:?}");
        }
        for lists in [&["\"b\""][..], &["a"], &[""]] {
            assert_eq!(is_known(&asked(lists), "\"a\""), Some(false), "{lists:?}");
        }
    }
}
