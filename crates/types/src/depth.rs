//! How deep JSON is, without reading what it says.

/// How many lists and objects lie in each other at most.
#[must_use]
pub fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut is_in_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_text => is_escaped = true,
            b'"' => is_in_text = !is_in_text,
            b'{' | b'[' if !is_in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !is_in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn brackets_in_texts_are_not_counted() {
        for (json, levels) in [("1", 0), ("[{\"[[\": \"\\\"{{\"}]", 2), ("[[],[[]]]", 3)] {
            assert_eq!(depth(json.as_bytes()), levels, "{json}");
        }
    }
}
