//! What an edit has changed, as lines: an edit changes one place as a rule, and what it changes lies between what is the same
//! at both ends.

/// Lines that are shown around a change.
const AROUND: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

pub fn lines<'a>(before: &'a str, after: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let first = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let shorter = old.len().min(new.len());
    let ends = old.iter().rev().zip(new.iter().rev());
    let last = ends.take(shorter - first).take_while(|(old, new)| old == new).count();
    let part = |lines: &[&'a str], from: usize, to: usize| lines.get(from..to).unwrap_or_default().to_vec();
    let (old_end, new_end) = (old.len() - last, new.len() - last);
    if first == old_end && first == new_end {
        return Vec::new();
    }
    let mut shown: Vec<Line> =
        part(&old, first.saturating_sub(AROUND), first).into_iter().map(Line::Same).collect();
    shown.extend(part(&old, first, old_end).into_iter().map(Line::Gone));
    shown.extend(part(&new, first, new_end).into_iter().map(Line::New));
    shown.extend(part(&old, old_end, (old_end + AROUND).min(old.len())).into_iter().map(Line::Same));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_has_changed_and_a_little_around_it_is_shown() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let after = before.replace("5\n", "five\nand\n");
        assert_eq!(
            lines(before, &after),
            [
                Line::Same("2"),
                Line::Same("3"),
                Line::Same("4"),
                Line::Gone("5"),
                Line::New("five"),
                Line::New("and"),
                Line::Same("6"),
                Line::Same("7"),
                Line::Same("8"),
            ]
        );
        assert_eq!(lines("", "a\n"), [Line::New("a")]);
        assert_eq!(lines("a\na\n", "a\n"), [Line::Same("a"), Line::Gone("a")]);
        assert!(lines(before, before).is_empty());
    }

    proptest! {
        #[test]
        fn the_lines_that_are_shown_make_the_one_into_the_other(
            before in "([ab]\n){0,8}", after in "([ab]\n){0,8}",
        ) {
            let shown = lines(&before, &after);
            let of = |is_left_out: fn(&Line) -> bool| -> String {
                shown.iter().filter(|line| !is_left_out(line)).map(|line| match line {
                    Line::Same(text) | Line::Gone(text) | Line::New(text) => format!("{text}\n"),
                }).collect()
            };
            let old = of(|line| matches!(line, Line::New(_)));
            let new = of(|line| matches!(line, Line::Gone(_)));
            prop_assert!(before.contains(&old) && after.contains(&new));
            if !shown.is_empty() {
                prop_assert!(before.replacen(&old, "", 1).len() == after.replacen(&new, "", 1).len());
            }
        }
    }
}
