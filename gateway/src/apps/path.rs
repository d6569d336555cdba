//! What of a path goes on to a program.

use types::percent_decoded;

/// Between its slashes a path may be encoded again and again; each round makes it shorter.
const MOST_ROUNDS: usize = 64;

/// Below `/app-backends/`: the name of the extension, and the path that its program is asked for.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let below = path.strip_prefix("/app-backends/")?;
    match below.find('/') {
        Some(at) => Some((below.get(..at)?, below.get(at..)?)),
        None => Some((below, "/")),
    }
}

/// Whether a path stays where it leads, however often somebody decodes it.
pub(super) fn stays(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..MOST_ROUNDS {
        let decoded = percent_decoded(&path);
        if decoded == path {
            let leads_off = |part: &[u8]| part == b"." || part == b"..";
            return !path.contains(&b'\\') && !path.split(|&byte| byte == b'/').any(leads_off);
        }
        path = decoded;
    }
    false
}

/// The query without what could be a key of this server.
pub(super) fn without_keys(query: &str) -> String {
    const KEYS: [&[u8]; 3] = [b"session_api_key", b"x-session-api-key", b"authorization"];
    let is_key = |pair: &&str| {
        let name = percent_decoded(pair.split('=').next().unwrap_or_default().as_bytes());
        KEYS.iter().any(|key| name.eq_ignore_ascii_case(key))
    };
    // Some take a semicolon for an end, too.
    const ENDS: [char; 2] = ['&', ';'];
    let pairs = query.split_inclusive(ENDS).filter(|pair| !is_key(&pair.trim_end_matches(ENDS)));
    let kept: String = pairs.collect();
    match query.ends_with(ENDS) {
        true => kept,
        false => kept.trim_end_matches(ENDS).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn a_path_is_divided_after_the_name() {
        assert_eq!(split("/app-backends/a"), Some(("a", "/")));
        assert_eq!(split("/app-backends/a/"), Some(("a", "/")));
        assert_eq!(split("/app-backends/a/b/c%2Fd"), Some(("a", "/b/c%2Fd")));
        assert_eq!(split("/api/x"), None);
    }

    #[test]
    fn no_path_leads_out_however_it_is_encoded() {
        for path in ["/", "/a/b", "/a%2Fb", "/a..b", "/%25", "/ä", "/a%20b", "/%zz", "/..."] {
            assert!(stays(path), "{path}");
        }
        for path in [
            "/..",
            "/a/../b",
            "/.",
            "/%2e%2e/x",
            "/%252e%252e",
            "/%25252e./x",
            "/a\\b",
            "/a%5Cb",
            "/a%2F..%2Fb",
        ] {
            assert!(!stays(path), "{path}");
        }
        assert!(!stays(&format!("/%{}2e", "25".repeat(100))), "nobody decodes so often");
    }

    #[test]
    fn a_key_in_a_query_stays_here() {
        assert_eq!(
            without_keys("a=1&session_api_key=k&b=2&X-Session-API-Key=k&%61uthorization=k"),
            "a=1&b=2"
        );
        assert_eq!(without_keys("a=1;session_api_key=k;b=2&c=%3B;authorization=k"), "a=1;b=2&c=%3B");
        assert_eq!(without_keys("session_api_key=k;"), "");
        assert_eq!(without_keys("a=1;&b;"), "a=1;&b;");
        assert_eq!(without_keys(""), "");
    }

    proptest! {
        #[test]
        fn no_path_that_is_passed_on_leads_out_for_whoever_decodes_it(
            parts in vec(select(&["/", ".", "..", "%2e", "%2E", "%252e", "%2f", "%5c", "\\", "a", "%", "%25", ";", "ä"][..]), 0..12),
        ) {
            let path = format!("/{}", parts.concat());
            if stays(&path) {
                let mut given = path.into_bytes();
                for _ in 0..4 {
                    let text = String::from_utf8_lossy(&given).into_owned();
                    let url = reqwest::Url::parse(&format!("http://host/base{text}")).unwrap();
                    prop_assert!(url.path().starts_with("/base/"), "{text} leads to {url}");
                    given = percent_decoded(&given);
                }
            }
        }

        #[test]
        fn no_key_goes_on_however_it_is_spelled(
            before in "[a-z=&]{0,8}",
            name in select(&["session_api_key", "X-Session-API-Key", "authorization", "Session%5fapi_key", "%73ession_api_key"][..]),
            after in "[a-z=&]{0,8}",
        ) {
            let kept = without_keys(&format!("{before}&{name}=SECRET&{after}"));
            prop_assert!(!kept.contains("SECRET"), "{}", kept);
        }
    }
}
