//! How long files are.

use super::sources;

#[test]
fn files_are_short_and_none_is_long() {
    let count = |(path, text): (String, String)| (text.lines().count(), path);
    let mut lengths: Vec<(usize, String)> = sources().into_iter().map(count).collect();
    lengths.sort();
    let median = lengths[lengths.len() / 2].0;
    let longest = lengths.last().unwrap();
    println!("{} files, median {median} lines, longest {} ({})", lengths.len(), longest.0, longest.1);
    assert!(longest.0 <= 550, "{} has {} lines", longest.1, longest.0);
    assert!(median <= 200);
}
