//! Hides known secret values in text, whole or as it is streamed.
//!
//! A value is hidden in every form in which programs print it ([`forms`]). Searched for is only the beginning of each, its
//! *head*, in one pass over the text whatever the number of secrets. Where a head is found the text is hidden, and what
//! follows is compared with the forms that begin so ([`shape`] makes them letter by letter): as long as one of them goes on
//! like the text, that is hidden too. So of a secret that was cut off what is there is hidden, no letter is compared
//! twice, and a secret costs little more memory than it has itself.
//!
//! This is a net, not a wall: a program that reverses a secret, encrypts it or prints it letter by letter shows it. Values of
//! fewer than six characters cannot be hidden without hiding ordinary text.

mod forms;
mod shape;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use forms::Summary;
pub(super) use forms::is_long_enough;
use shape::{Cursor, Form, Shape};

const HIDDEN: &str = "<secret-hidden>";
/// Bytes of the longest head.
const LONGEST_HEAD: usize = 64;
/// Forms that are compared behind one head. Where more begin alike, as much as the longest of them has is hidden unseen.
const MOST_ALIKE: usize = 64;

/// The values known at one moment. Cheap to clone.
#[derive(Clone)]
pub(super) struct Masker(Arc<Known>);

struct Known {
    values: BTreeSet<String>,
    /// In order.
    heads: Box<[Box<str>]>,
    /// For each head the forms that go on behind it.
    longer: Box<[Box<[Form]>]>,
    /// `None`: there is nothing to hide.
    search: Option<AhoCorasick>,
}

impl Masker {
    pub(super) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let values: BTreeSet<String> = values.into_iter().collect();
        let mut all: BTreeMap<String, Alike> = BTreeMap::new();
        let mut seen = HashSet::new();
        for form in values.iter().flat_map(|value| forms::of(value)) {
            let Some(Summary { head, length, hash }) = Summary::of(&form, LONGEST_HEAD) else { continue };
            if !seen.insert((length, hash)) {
                continue;
            }
            let goes_on = length > head.len();
            let alike = all.entry(head).or_default();
            if goes_on {
                alike.add(form, length);
            }
        }
        let heads: Box<[Box<str>]> = all.keys().map(|head| head.as_str().into()).collect();
        let longer = all.into_values().map(Alike::forms).collect();
        let search = match heads.is_empty() {
            true => None,
            // It fails beyond billions of letters only; then nothing that long is shown either.
            false => AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                // A table for each letter takes long to make and much memory.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(heads.iter().map(|head| head.as_bytes()))
                .ok(),
        };
        Self(Arc::new(Known { values, heads, longer, search }))
    }

    pub(super) fn values(&self) -> &BTreeSet<String> {
        &self.0.values
    }

    /// `text` with every known value replaced.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        self.show(text, text.len(), &mut Vec::new(), &mut masked);
        masked
    }

    /// Shows `text` without secrets, but for those that begin at `end` or behind it; how far. `begun` are the forms that go
    /// on where the text begins, and afterwards where it ends.
    fn show(&self, text: &str, mut end: usize, begun: &mut Vec<Cursor>, shown: &mut String) -> usize {
        let mut used = follow(begun, text);
        loop {
            if end < used {
                end = used + self.open_end(text.get(used..).unwrap_or_default());
            }
            let found = self.first_in(text, used).filter(|(start, ..)| *start < end);
            let Some((start, behind, longer)) = found else { break };
            shown.push_str(text.get(used..start).unwrap_or_default());
            shown.push_str(HIDDEN);
            begun.extend(longer.iter().map(|form| form.cursor_after(behind - start)));
            used = behind + follow(begun, text.get(behind..).unwrap_or_default());
        }
        shown.push_str(text.get(used..end).unwrap_or_default());
        end
    }

    /// Where the first head begins and ends, the longest of those at one place, and what begins so.
    fn first_in(&self, text: &str, from: usize) -> Option<(usize, usize, &[Form])> {
        let found = self.0.search.as_ref()?.find(text.get(from..)?)?;
        let longer = self.0.longer.get(found.pattern().as_usize()).map(AsRef::as_ref);
        Some((from + found.start(), from + found.end(), longer.unwrap_or_default()))
    }

    /// Where the end of `text` begins that may be the beginning of a head; its length where there is none.
    fn open_end(&self, text: &str) -> usize {
        if self.0.heads.is_empty() {
            return text.len();
        }
        let first = text.floor_char_boundary(text.len().saturating_sub(LONGEST_HEAD - 1));
        let ends = text.get(first..).unwrap_or_default().char_indices().map(|(at, _)| first + at);
        ends.into_iter()
            .find(|at| self.begins_a_head(text.get(*at..).unwrap_or_default()))
            .unwrap_or(text.len())
    }

    fn begins_a_head(&self, text: &str) -> bool {
        let next = self.0.heads.partition_point(|head| &**head <= text);
        self.0.heads.get(next).is_some_and(|head| head.starts_with(text))
    }
}

/// Forms that begin alike and go on.
#[derive(Default)]
struct Alike {
    forms: Vec<Form>,
    longest: usize,
    count: usize,
}

impl Alike {
    fn add(&mut self, form: Form, length: usize) {
        self.count += 1;
        self.longest = self.longest.max(length);
        if self.forms.len() < MOST_ALIKE {
            self.forms.push(form);
        }
    }

    fn forms(mut self) -> Box<[Form]> {
        if self.count > MOST_ALIKE {
            self.forms = vec![Form { text: "".into(), shape: Shape::Anything, from: 0, to: self.longest }];
        }
        self.forms.into_boxed_slice()
    }
}

/// How far `text` goes on like one of the forms. Those that it ends in are left.
fn follow(begun: &mut Vec<Cursor>, text: &str) -> usize {
    let mut furthest = 0;
    begun.retain_mut(|form| {
        let alike = text.bytes().take_while(|byte| form.next_if(*byte)).count();
        furthest = furthest.max(alike);
        alike == text.len() && !form.is_over()
    });
    text.floor_char_boundary(furthest)
}

/// Text that arrives in pieces: what may be the beginning of a value is held back until it is known not to be.
#[derive(Default)]
pub(super) struct Holdback {
    held: String,
    /// What the text that was hidden last goes on with.
    begun: Vec<Cursor>,
}

impl Holdback {
    /// Takes a piece and gives what may be shown.
    pub(super) fn push(&mut self, piece: &str, masker: &Masker) -> String {
        self.held.push_str(piece);
        let (mut shown, end) = (String::new(), masker.open_end(&self.held));
        let used = masker.show(&self.held, end, &mut self.begun, &mut shown);
        self.held.drain(..used);
        shown
    }

    /// Gives the rest: nothing more will come.
    pub(super) fn finish(&mut self, masker: &Masker) -> String {
        let mut shown = String::new();
        masker.show(&self.held, self.held.len(), &mut self.begun, &mut shown);
        *self = Self::default();
        shown
    }
}

#[cfg(test)]
mod tests;
