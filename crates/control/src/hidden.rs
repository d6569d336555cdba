//! Values that must not be told, to hide them in what programs and servers say.

use types::secrets::MASK;

/// Shorter values stand in too many innocent words.
const LEAST: usize = 6;

pub(crate) struct Hidden(Vec<String>);

impl Hidden {
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= LEAST).collect();
        // One that is a part of another must not leave the rest of that to be seen.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    pub fn in_text(&self, text: String) -> String {
        self.0.iter().fold(text, |text, value| {
            let whole = if text.contains(value.as_str()) { text.replace(value.as_str(), MASK) } else { text };
            without_beginning(whole, value)
        })
    }
}

/// Words that were cut off may end in the middle of a value.
fn without_beginning(mut text: String, value: &str) -> String {
    let cut = overlap(text.as_bytes(), value);
    if cut >= LEAST {
        text.truncate(text.len() - cut);
        text.push_str(MASK);
    }
    text
}

/// The length of the longest beginning of a value, but not the whole, with which a text ends. Both are looked through once:
/// a server chooses the one and its user the other.
fn overlap(text: &[u8], value: &str) -> usize {
    let bytes = value.as_bytes();
    // For each length of a beginning of the value, the longest shorter one with which that ends.
    let mut shorter = vec![0; 1];
    let next = |shorter: &[usize], mut length: usize, byte: u8| {
        while length > 0 && bytes.get(length) != Some(&byte) {
            length = shorter.get(length - 1).copied().unwrap_or_default();
        }
        length + usize::from(bytes.get(length) == Some(&byte))
    };
    let mut length = 0;
    for byte in bytes.iter().skip(1) {
        length = next(&shorter, length, *byte);
        shorter.push(length);
    }
    let tail = text.get((text.len() + 1).saturating_sub(bytes.len())..).unwrap_or_default();
    let mut length = tail.iter().fold(0, |length, byte| next(&shorter, length, *byte));
    while !value.is_char_boundary(length) {
        length = shorter.get(length - 1).copied().unwrap_or_default();
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_and_no_beginning_of_one_is_told() {
        let hidden = Hidden::new(["marked-words", "marked-words-longer", "short"].map(str::to_owned));
        let said = "marked-words-longer, marked-words, short, marked-w".to_owned();
        assert_eq!(hidden.in_text(said), format!("{MASK}, {MASK}, short, {MASK}"));
        assert_eq!(hidden.in_text("nothing".to_owned()), "nothing");
    }

    #[test]
    fn the_longest_beginning_is_found() {
        for (text, value, length) in [
            ("", "abc", 0),
            ("xab", "abc", 2),
            ("xabc", "abc", 0),
            ("aabaaab", "aabaac", 3),
            ("aaaa", "aaaaaa", 4),
            ("aaaaaaaa", "aaaa", 3),
            ("xäö", "äöü", 4),
            ("x", "y", 0),
        ] {
            assert_eq!(overlap(text.as_bytes(), value), length, "{text} {value}");
        }
    }

    #[test]
    fn long_values_cost_no_more_than_their_length() {
        let value = format!("{}b", "a".repeat(300_000));
        let hidden = Hidden::new([value]);
        let begun = std::time::Instant::now();
        let told = hidden.in_text(format!("{}c", "a".repeat(1_000_000)));
        assert_eq!(told.len(), 1_000_001);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
