//! Hides known secret values in text, whole or as it is streamed.

use std::sync::Arc;

const HIDDEN: &str = "<secret-hidden>";

/// The values known at one moment. Cheap to clone.
#[derive(Clone)]
pub(super) struct Masker {
    /// Longest first, none empty.
    values: Arc<[String]>,
}

impl Masker {
    pub(super) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values: values.into() }
    }

    pub(super) fn values(&self) -> &[String] {
        &self.values
    }

    /// `text` with every known value replaced.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((at, length)) = self.first_in(rest) {
            let (before, after) = rest.split_at(at);
            masked.push_str(before);
            masked.push_str(HIDDEN);
            rest = after.get(length..).unwrap_or_default();
        }
        masked.push_str(rest);
        masked
    }

    /// The leftmost value in `text`, the longest of those at one place.
    fn first_in(&self, text: &str) -> Option<(usize, usize)> {
        self.values
            .iter()
            .filter_map(|value| Some((text.find(value.as_str())?, value.len())))
            .min_by_key(|(at, length)| (*at, usize::MAX - length))
    }

    fn longest(&self) -> usize {
        self.values.first().map_or(0, String::len)
    }
}

/// Text that arrives in pieces: what may be the beginning of a value is held back until it is known not to be.
#[derive(Default)]
pub(super) struct Holdback {
    held: String,
}

impl Holdback {
    /// Takes a piece and gives what may be shown.
    pub(super) fn push(&mut self, piece: &str, masker: &Masker) -> String {
        self.held.push_str(piece);
        let mut shown = String::new();
        loop {
            let safe = self.held.len().saturating_sub(masker.longest().saturating_sub(1));
            match masker.first_in(&self.held) {
                Some((at, length)) if at < safe || safe == self.held.len() => {
                    shown.push_str(self.held.get(..at).unwrap_or_default());
                    shown.push_str(HIDDEN);
                    self.held.drain(..at + length);
                }
                _ => {
                    let end = self.held.floor_char_boundary(safe);
                    shown.extend(self.held.drain(..end));
                    return shown;
                }
            }
        }
    }

    /// Gives the rest: nothing more will come.
    pub(super) fn finish(&mut self, masker: &Masker) -> String {
        masker.mask(&std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker(values: &[&str]) -> Masker {
        Masker::new(values.iter().map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_longest_of_overlapping_values_is_hidden() {
        let masker = masker(&["abc", "abcdef", ""]);
        assert_eq!(masker.mask("xabcdefx abc"), "x<secret-hidden>x <secret-hidden>");
    }

    #[test]
    fn a_value_that_occurs_in_the_mask_leaves_the_mask_whole() {
        assert_eq!(
            masker(&["topsecret", "secret"]).mask("topsecret secret"),
            "<secret-hidden> <secret-hidden>"
        );
    }

    #[test]
    fn a_value_split_over_pieces_never_shows() {
        let masker = masker(&["geheim-é-1234", "geh"]);
        let text = "vor geheim-é-1234 nach geh und geheimé ende";
        for size in 1..8 {
            let (mut holdback, mut shown) = (Holdback::default(), String::new());
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(size) {
                shown.push_str(&holdback.push(&piece.iter().collect::<String>(), &masker));
                assert!(!shown.contains("geh"), "{shown}");
            }
            shown.push_str(&holdback.finish(&masker));
            assert_eq!(shown, masker.mask(text), "pieces of {size}");
        }
    }

    #[test]
    fn without_secrets_nothing_is_held_back() {
        assert_eq!(Holdback::default().push("at once", &masker(&[])), "at once");
    }
}
