//! What is written beside the code: files say what they are for, lints are expected and not allowed, and the house has
//! few words of its own.

use super::sources;

/// Words that a reader has to learn.
const MOST_WORDS: usize = 20;

#[test]
fn every_file_says_in_its_first_line_what_it_is_for() {
    let silent: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "files that do not say what they are for: {silent:#?}");
}

/// What is expected and does not come is a warning; what is allowed stays after its reason has gone.
#[test]
fn lints_are_expected_and_never_allowed() {
    let allows = [concat!("#", "[allow("), concat!("#", "![allow(")];
    let is_allowing = |text: &String| allows.iter().any(|allow| text.contains(allow));
    let found: Vec<String> =
        sources().into_iter().filter(|(_, text)| is_allowing(text)).map(|(path, _)| path).collect();
    assert!(found.is_empty(), "use #[expect(lint, reason)]: {found:#?}");
}

#[test]
fn the_glossary_is_short_and_every_word_of_it_is_used() {
    let page = std::fs::read_to_string("ARCHITECTURE.md").unwrap();
    let (_, glossary) = page.split_once("\n## Words\n").expect("a glossary");
    let rows = glossary.lines().filter_map(|line| line.strip_prefix("| ")).skip(2);
    let words: Vec<&str> =
        rows.filter_map(|row| row.split(" | ").next()).flat_map(|cell| cell.split(", ")).collect();
    println!("{} words: {words:?}", words.len());
    assert!((1..=MOST_WORDS).contains(&words.len()), "{} words", words.len());
    let texts: Vec<String> = sources().into_iter().map(|(_, text)| text.to_lowercase()).collect();
    for word in words {
        let names = [word.to_owned(), word.replace(' ', ""), word.replace(' ', "_")];
        let is_used = texts.iter().any(|text| names.iter().any(|name| text.contains(name)));
        assert!(is_used, "nothing is called {word}");
    }
}
