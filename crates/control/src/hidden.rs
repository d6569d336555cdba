//! Values that must not be told, to hide them in what programs and servers say.
//!
//! Who says it chooses the text, and whose secrets they are chooses those, of any number and length. So a text is gone
//! through once, whatever the values are: letter by letter, each time with the longest beginning of a value with which the
//! text ends so far (Aho and Corasick's machine). That also finds words that were cut off in the middle of a value.

use std::collections::HashMap;
use std::sync::OnceLock;

use types::secrets::MASK;

/// Shorter values stand in too many innocent words.
const LEAST: usize = 6;
/// In a name, which is of no use once a part of it is hidden, shorter ones are taken for words.
const LEAST_IN_NAME: usize = 16;

pub(crate) struct Hidden {
    values: Vec<String>,
    /// Made where there is something to look through.
    machine: OnceLock<Machine>,
}

impl Hidden {
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let values = values.into_iter().filter(|value| value.len() >= LEAST).collect();
        Self { values, machine: OnceLock::new() }
    }

    /// The text without the values, and without a beginning of one at its end.
    pub fn in_text(&self, text: String) -> String {
        let machine = self.machine();
        let (mut state, mut found) = (ROOT, Vec::new());
        for (at, byte) in text.bytes().enumerate() {
            state = machine.next(state, byte);
            hide(&mut found, machine.longest(state), at + 1);
        }
        let begun = machine.depth(state);
        if begun >= LEAST {
            hide(&mut found, begun, text.len());
        }
        if found.is_empty() { text } else { masked(&text, &found) }
    }

    /// Whether a name may be told as it is: one with a mask in it names nothing.
    pub fn may_name(&self, name: &str) -> bool {
        let machine = self.machine();
        let mut state = ROOT;
        name.bytes().all(|byte| {
            state = machine.next(state, byte);
            machine.longest(state) < LEAST_IN_NAME
        })
    }

    fn machine(&self) -> &Machine {
        self.machine.get_or_init(|| Machine::of(&self.values))
    }
}

/// Notes the last `length` bytes before `end`. What overlaps becomes one.
fn hide(found: &mut Vec<(usize, usize)>, length: usize, end: usize) {
    if length == 0 {
        return;
    }
    let mut start = end - length;
    while let Some((earlier, _)) = found.pop_if(|(_, until)| *until > start) {
        start = start.min(earlier);
    }
    found.push((start, end));
}

fn masked(text: &str, found: &[(usize, usize)]) -> String {
    let (mut masked, mut used) = (String::with_capacity(text.len()), 0);
    for (start, end) in found {
        masked.push_str(text.get(used..*start).unwrap_or_default());
        masked.push_str(MASK);
        used = *end;
    }
    masked.push_str(text.get(used..).unwrap_or_default());
    masked
}

/// The state in which nothing of a value has been read.
const ROOT: usize = 0;

/// Each state is a beginning of a value.
struct Machine {
    states: Vec<State>,
    /// To the beginning that is one byte longer.
    steps: HashMap<(usize, u8), usize>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Its length.
    depth: usize,
    /// The longest shorter beginning of any value with which it ends.
    shorter: usize,
    /// The length of the longest value with which it ends, or nothing.
    longest: usize,
}

impl Machine {
    fn of(values: &[String]) -> Self {
        let mut machine = Self { states: vec![State::default()], steps: HashMap::new() };
        let mut edges = Vec::new();
        for value in values {
            let mut state = ROOT;
            for (at, byte) in value.bytes().enumerate() {
                let next = machine.states.len();
                state = *machine.steps.entry((state, byte)).or_insert_with(|| {
                    machine.states.push(State { depth: at + 1, ..State::default() });
                    edges.push((state, byte, next));
                    next
                });
            }
            machine.change(state, |end| end.longest = value.len());
        }
        // Those of shorter beginnings are known before those of longer ones.
        edges.sort_by_key(|(_, _, to)| machine.depth(*to));
        for (from, byte, to) in edges {
            let shorter = if from == ROOT { ROOT } else { machine.next(machine.shorter(from), byte) };
            let longest = machine.longest(shorter);
            machine.change(to, |state| {
                state.shorter = shorter;
                state.longest = state.longest.max(longest);
            });
        }
        machine
    }

    fn next(&self, mut state: usize, byte: u8) -> usize {
        loop {
            match self.steps.get(&(state, byte)) {
                Some(next) => return *next,
                None if state == ROOT => return ROOT,
                None => state = self.shorter(state),
            }
        }
    }

    fn depth(&self, state: usize) -> usize {
        self.states.get(state).map_or(0, |state| state.depth)
    }

    fn shorter(&self, state: usize) -> usize {
        self.states.get(state).map_or(ROOT, |state| state.shorter)
    }

    fn longest(&self, state: usize) -> usize {
        self.states.get(state).map_or(0, |state| state.longest)
    }

    fn change(&mut self, state: usize, change: impl FnOnce(&mut State)) {
        if let Some(state) = self.states.get_mut(state) {
            change(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn hidden(values: &[&str]) -> Hidden {
        Hidden::new(values.iter().map(|&value| value.to_owned()))
    }

    #[test]
    fn no_value_and_no_beginning_of_one_is_told() {
        let hidden = hidden(&["marked-words", "marked-words-longer", "short"]);
        let said = "marked-words-longer, marked-words, short, marked-w".to_owned();
        assert_eq!(hidden.in_text(said), format!("{MASK}, {MASK}, short, {MASK}"));
        assert_eq!(hidden.in_text("nothing".to_owned()), "nothing");
    }

    #[test]
    fn values_are_found_wherever_they_lie() {
        let cases: [(&[&str], &str, &str); 11] = [
            (&["abcdefg"], "", ""),
            (&["abcdefg"], "xabcde", "xabcde"),
            (&["abcdefg"], "xabcdef", "x*"),
            (&["abcdefg"], "abcdefgabcdefg", "**"),
            (&["aabaac"], "aabaabaac", "aab*"),
            (&["abcdef", "defghi"], "xabcdefghix", "x*x"),
            (&["abcdef", "abcdefghij", "cdefgh"], "abcdefghi", "*"),
            (&["aaaaaa"], "aaaaaaaaa", "*"),
            (&["äöüäöü"], "xäöüäöü", "x*"),
            (&["äöüäöü"], "xäöüä", "x*"),
            (&["äöüäöü"], "xäöä", "xäöä"),
        ];
        for (values, text, told) in cases {
            assert_eq!(hidden(values).in_text(text.to_owned()), told.replace('*', MASK), "{text} {values:?}");
        }
    }

    #[test]
    fn a_name_is_told_as_it_is_or_not_at_all() {
        let hidden = hidden(&["issues", "a-long-secret-of-a-server"]);
        for name in ["list_issues", "list_issues/a-long", "a-long-secret-of-a-serve"] {
            assert!(hidden.may_name(name), "{name}");
        }
        assert!(!hidden.may_name("x-a-long-secret-of-a-server-x"));
    }

    #[test]
    fn neither_many_values_nor_long_ones_make_texts_slow() {
        let many: Vec<String> = (0..13_000).map(|number| format!("aaaaaaaaaaaaaa{number:06}")).collect();
        let long = vec![format!("{}b", "a".repeat(300_000))];
        let texts = vec!["a".repeat(300); 3_000];
        let begun = Instant::now();
        for values in [many, long] {
            let hidden = Hidden::new(values);
            texts.iter().for_each(|text| drop(hidden.in_text(text.clone())));
            assert_eq!(hidden.in_text(format!("{}c", "a".repeat(1_000_000))).len(), 1_000_001);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
