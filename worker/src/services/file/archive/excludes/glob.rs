//! `*`, `?` and `[…]` within one name. Whoever asks chooses the pattern and the agent the name, so a match takes no more
//! steps than both have characters, one multiplied by the other: of several stars only the last is ever tried again.

pub(super) struct Glob(Vec<Part>);

enum Part {
    Star,
    Any,
    One(char),
    Class { is_negated: bool, ranges: Vec<(char, char)> },
}

impl Glob {
    pub(super) fn new(text: &str) -> Self {
        let (mut parts, mut rest) = (Vec::new(), &*text.chars().collect::<Vec<_>>());
        while let Some((first, after)) = rest.split_first() {
            let class = if *first == '[' { class(after) } else { None };
            let (part, left) = match (first, class) {
                (_, Some((class, left))) => (class, left),
                ('*', None) => (Part::Star, after),
                ('?', None) => (Part::Any, after),
                (first, None) => (Part::One(*first), after),
            };
            parts.push(part);
            rest = left;
        }
        Self(parts)
    }

    pub(super) fn matches(&self, name: &[char]) -> bool {
        let (mut parts, mut left) = (&*self.0, name);
        // What follows the last star, and what it has not taken yet.
        let mut again: Option<(&[Part], &[char])> = None;
        loop {
            match (parts, left) {
                ([], []) => return true,
                ([Part::Star, after @ ..], _) => {
                    again = Some((after, left));
                    parts = after;
                }
                ([part, after @ ..], [next, rest @ ..]) if part.fits(*next) => (parts, left) = (after, rest),
                _ => {
                    let Some((after, [_, rest @ ..])) = again else { return false };
                    again = Some((after, rest));
                    (parts, left) = (after, rest);
                }
            }
        }
    }
}

impl Part {
    fn fits(&self, next: char) -> bool {
        match self {
            Self::Star | Self::Any => true,
            Self::One(character) => *character == next,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&next)) != *is_negated
            }
        }
    }
}

/// The class that follows a `[`, and the rest of the pattern; none where nothing closes it.
fn class(pattern: &[char]) -> Option<(Part, &[char])> {
    // A bracket that comes first is a member.
    let is_negated = pattern.first() == Some(&'!');
    let skipped = 1 + usize::from(is_negated);
    let end = skipped + pattern.get(skipped..)?.iter().position(|character| *character == ']')?;
    let (mut ranges, mut left) = (Vec::new(), pattern.get(usize::from(is_negated)..end)?);
    while let Some((first, rest)) = left.split_first() {
        let (last, rest) = match rest {
            ['-', last, rest @ ..] => (last, rest),
            _ => (first, rest),
        };
        ranges.push((*first, *last));
        left = rest;
    }
    Some((Part::Class { is_negated, ranges }, pattern.get(end + 1..)?))
}
