//! Which subjects a pattern matches.

/// Whether all that `pattern` matches is matched by `wider` too.
#[must_use]
pub fn covers(wider: &str, pattern: &str) -> bool {
    let (mut wider, mut pattern) = (wider.split('.'), pattern.split('.'));
    loop {
        match (wider.next(), pattern.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_matches_and_no_more() {
        for (wider, pattern) in
            [("a.*", "a.b"), ("a.>", "a.b.c"), ("a.*.c", "a.*.c"), ("a.>", "a.>"), ("*.b", "a.b")]
        {
            assert!(covers(wider, pattern), "{wider} {pattern}");
        }
        for (wider, pattern) in [("a.*", "a"), ("a.*", "a.b.c"), ("a.*", "a.>"), ("a.>", "a"), ("a.b", "a.*")]
        {
            assert!(!covers(wider, pattern), "{wider} {pattern}");
        }
    }
}
