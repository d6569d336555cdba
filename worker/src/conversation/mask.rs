//! Hides known secret values in text, whole or as it is streamed.
//!
//! A value is hidden in every shape in which programs print it ([`forms`]), in one pass over the text whatever the
//! number of secrets. This is a net, not a wall: a program that reverses a secret, encrypts it or prints it letter
//! by letter shows it. Values of fewer than six characters cannot be hidden without hiding ordinary text.

mod forms;

use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

pub(super) use forms::is_long_enough;

const HIDDEN: &str = "<secret-hidden>";
/// What is searched for of a longer shape; from there on it is compared. So the search costs little to prepare
/// however long secrets are, and of a secret that was cut off what is there is hidden.
const ANCHOR: usize = 64;

/// The values known at one moment. Cheap to clone.
#[derive(Clone)]
pub(super) struct Masker {
    values: Arc<BTreeSet<String>>,
    /// All shapes of the values, in order.
    forms: Arc<[String]>,
    /// The length of the longest.
    longest: usize,
    /// For the anchors of the shapes. `None`: there is nothing to hide.
    search: Option<AhoCorasick>,
}

impl Masker {
    pub(super) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let values: BTreeSet<String> = values.into_iter().collect();
        let forms: BTreeSet<String> = values.iter().flat_map(|value| forms::of(value)).collect();
        let anchors: BTreeSet<&str> = forms.iter().map(|form| anchor(form)).collect();
        let search = match anchors.is_empty() {
            true => None,
            // It fails beyond billions of letters only; then nothing that long is shown either.
            false => AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                // A table for each letter takes long to make and much memory.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(anchors)
                .ok(),
        };
        let longest = forms.iter().map(String::len).max().unwrap_or_default();
        Self { values: values.into(), forms: forms.into_iter().collect(), longest, search }
    }

    pub(super) fn values(&self) -> &BTreeSet<String> {
        &self.values
    }

    /// `text` with every known value replaced.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((start, end)) = self.first_in(rest) {
            masked.push_str(rest.get(..start).unwrap_or_default());
            masked.push_str(HIDDEN);
            rest = rest.get(end..).unwrap_or_default();
        }
        masked.push_str(rest);
        masked
    }

    /// Where the first value begins and ends, the longest of those at one place.
    fn first_in(&self, text: &str) -> Option<(usize, usize)> {
        let found = self.search.as_ref()?.find(text)?;
        let from_there = text.get(found.start()..).unwrap_or_default();
        Some((found.start(), found.end().max(found.start() + self.anchored_beginning(from_there))))
    }

    /// How far `text` is like the shape it begins like, if it has the whole anchor of it.
    fn anchored_beginning(&self, text: &str) -> usize {
        // Of a sorted list, those that share most with a text stand beside its place.
        let next = self.forms.partition_point(|form| form.as_str() <= text);
        let beside = [next.checked_sub(1), Some(next)].into_iter().flatten();
        let alike = beside.filter_map(|index| self.forms.get(index)).filter_map(|form| {
            let shared = form.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
            (shared >= anchor(form).len()).then_some(shared)
        });
        text.floor_char_boundary(alike.max().unwrap_or_default())
    }

    /// Where the end of `text` begins that may be the beginning of a value; its length where there is none.
    fn open_end(&self, text: &str) -> usize {
        let first = text.floor_char_boundary(text.len().saturating_sub(self.longest.saturating_sub(1)));
        let ends = text.get(first..).unwrap_or_default().char_indices().map(|(at, _)| first + at);
        ends.into_iter()
            .find(|at| self.begins_a_form(text.get(*at..).unwrap_or_default()))
            .unwrap_or(text.len())
    }

    fn begins_a_form(&self, text: &str) -> bool {
        let next = self.forms.partition_point(|form| form.as_str() <= text);
        self.forms.get(next).is_some_and(|form| form.starts_with(text))
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
        let mut used = 0;
        let mut open = masker.open_end(&self.held);
        while let Some((start, end)) = masker.first_in(self.held.get(used..).unwrap_or_default())
            && used + start < open
        {
            shown.push_str(self.held.get(used..used + start).unwrap_or_default());
            shown.push_str(HIDDEN);
            used += end;
            if open < used {
                open = used + masker.open_end(self.held.get(used..).unwrap_or_default());
            }
        }
        shown.push_str(self.held.get(used..open).unwrap_or_default());
        self.held.drain(..open);
        shown
    }

    /// Gives the rest: nothing more will come.
    pub(super) fn finish(&mut self, masker: &Masker) -> String {
        masker.mask(&std::mem::take(&mut self.held))
    }
}

fn anchor(form: &str) -> &str {
    form.get(..form.floor_char_boundary(ANCHOR)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

    use std::process::Command;

    use super::*;

    fn masker(values: &[&str]) -> Masker {
        Masker::new(values.iter().map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_longest_of_overlapping_values_is_hidden() {
        let masker = masker(&["abcabc", "abcabcdef", ""]);
        assert_eq!(masker.mask("xabcabcdefx abcabc"), "x<secret-hidden>x <secret-hidden>");
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
        let masker = masker(&["geheim-é-1234", "geheim"]);
        let text = "vor geheim-é-1234 nach geheim und gehe und geheimé ende";
        for size in 1..8 {
            let (mut holdback, mut shown) = (Holdback::default(), String::new());
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(size) {
                shown.push_str(&holdback.push(&piece.iter().collect::<String>(), &masker));
                assert!(!shown.contains("geheim"), "{shown}");
            }
            shown.push_str(&holdback.finish(&masker));
            assert_eq!(shown, masker.mask(text), "pieces of {size}");
        }
    }

    #[test]
    fn nothing_is_held_back_that_cannot_be_a_secret() {
        assert_eq!(Holdback::default().push("at once!", &masker(&[])), "at once!");
        let long = "x".repeat(400);
        assert_eq!(Holdback::default().push("at once!", &masker(&[&long])), "at once!");
    }

    /// What people keep as secrets by mistake must not shred every output.
    #[test]
    fn a_short_value_hides_nothing() {
        let masker = masker(&["1", "e", " ", "8080", "\n", "true "]);
        assert_eq!(masker.mask("hello 11 entries on 8080, true"), "hello 11 entries on 8080, true");
        assert!(!is_long_enough("12345\n") && is_long_enough("123456"));
    }

    /// The programs themselves say what the shapes are.
    #[test]
    fn no_program_prints_a_secret_in_a_shape_that_shows() {
        let secrets = [
            "s3cr3t-value with a trailing newline\n",
            "-----BEGIN KEY-----\nMIIEvAIBADANBgkqhkiG9w0BAQ\nEFAASCBKYwggSiAgEAAoIBAQ\n-----END KEY-----\n",
            "it's \"quoted\" \\ and $spent & more/than+that=?",
            "pässwörter-überall-é",
        ];
        let programs = [
            "printf %s \"$X\"",
            "echo $X",
            "printf 'a%sb' \"$X\"",
            "printf %q \"$X\"",
            "set | grep ^X=",
            "declare -p X | sed 's/^declare -x //'",
            "declare -a A=(\"$X\"); declare -p A | sed 's/^declare -a //'",
            "declare -A A=([k]=\"$X\"); declare -p A | sed 's/^declare -A //'",
            "declare -A A=([k]=\"$X\"); printf '%s\\n' \"${A[@]@K}\"",
            "printf %s \"${X@Q}\"",
            "printf %s \"${X@A}\" | sed 's/^declare -x //'",
            "alias x=\"$X\"; alias x",
            "trap -- \"$X\" USR1; trap -p USR1 | sed 's/^trap --//'",
            "exec 2>&1; set -x; : \"$X\"",
            "exec 2>&1; set -x; Y=$X",
            "f() { local Y=$X; local -p; }; f",
            "python3 -c 'import json,os; print(json.dumps(os.environ[\"X\"]))'",
            "python3 -c 'import json,os; print(json.dumps(os.environ[\"X\"], ensure_ascii=False))'",
            "python3 -c 'import os, urllib.parse as u; print(u.quote(os.environ[\"X\"])); print(u.quote_plus(os.environ[\"X\"])); print(u.quote(os.environ[\"X\"], safe=\"\"))'",
            "printf %s \"$X\" | base64 -w0",
            "printf %s \"$X\" | base64",
            "printf 'u:%s' \"$X\" | base64 -w0",
            "printf 'user:%s' \"$X\" | base64 -w0",
            "printf 'us:%s:more' \"$X\" | base64 -w0",
            "printf %s \"$X\" | base64 -w0 | tr '+/' '-_'",
        ];
        for secret in secrets {
            let masker = masker(&[secret]);
            for program in programs {
                let output = Command::new("bash")
                    .args(["-c", program])
                    .env("X", secret)
                    .env("LC_ALL", "C.UTF-8")
                    .output();
                let output = output.unwrap();
                let printed = String::from_utf8(output.stdout).unwrap();
                assert!(printed.len() > 8, "{program}: {}", String::from_utf8_lossy(&output.stderr));
                let shown = masker.mask(&printed).replace(HIDDEN, "");
                assert!(shown.len() <= 18, "{program} shows {shown:?} of {printed:?}");
            }
        }
    }

    #[test]
    fn of_a_long_secret_that_is_cut_off_nothing_shows() {
        let secret: String = (0..500).map(|number| format!("{number}-")).collect();
        let masker = masker(&[&secret]);
        let text = format!("before {}... after {secret}!", &secret[..1000]);
        assert_eq!(masker.mask(&text), "before <secret-hidden>... after <secret-hidden>!");
        let (mut holdback, mut shown) = (Holdback::default(), String::new());
        for piece in text.as_bytes().chunks(7) {
            shown.push_str(&holdback.push(std::str::from_utf8(piece).unwrap(), &masker));
        }
        shown.push_str(&holdback.finish(&masker));
        assert_eq!(shown, masker.mask(&text));
    }

    #[test]
    fn long_secrets_are_cheap_to_search_for() {
        let lines: String =
            (0..80).map(|line| format!("{line:02}{}\n", "key line of it/".repeat(4))).collect();
        for secret in [lines, "xyz".repeat(1700), "pässwort é".repeat(500)] {
            let masker = masker(&[&secret]);
            let forms: usize = masker.forms.iter().map(String::len).sum();
            let anchors: BTreeSet<&str> = masker.forms.iter().map(|form| anchor(form)).collect();
            let searched: usize = anchors.into_iter().map(str::len).sum();
            assert!(forms < 80 * secret.len(), "{forms} bytes of forms for {}", secret.len());
            assert!(searched < 3 * secret.len(), "{searched} letters of search for {}", secret.len());
        }
    }

    #[test]
    fn a_text_full_of_secrets_is_masked_in_one_pass_however_it_comes() {
        let masker = masker(&["abcabc"]);
        let text = "abcabc".repeat(500_000);
        let begun = std::time::Instant::now();
        let mut holdback = Holdback::default();
        let mut shown = holdback.push(&text, &masker);
        shown.push_str(&holdback.finish(&masker));
        assert_eq!(shown.len(), 500_000 * HIDDEN.len());
        // Copying the rest for each of them would take an hour.
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    /// One pass, whatever the number of secrets: every letter is copied at most once.
    #[test]
    fn a_hundred_secrets_cost_one_pass() {
        let secrets: Vec<String> = (0..100).map(|i| format!("secret-number-{i:03}-{}", i * 7919)).collect();
        let masker = Masker::new(secrets.clone());
        let line = format!("{} and text that is none of their business\n", secrets[42]);
        let text = line.repeat((1 << 20) / line.len());
        let masked = masker.mask(&text);
        assert_eq!(masked.matches(HIDDEN).count(), text.lines().count());
        assert!(!masked.contains("secret-number"));
    }
}
