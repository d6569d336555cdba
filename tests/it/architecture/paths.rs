//! The module paths that a source file names: those that begin with `crate`, `self` or `super`.

use std::iter::Peekable;
use std::vec::IntoIter;

/// All paths of `text` outside of comments, literals and its tests, each as its segments.
pub fn of(text: &str) -> Vec<Vec<String>> {
    let mut tokens = tokens(without_tests(text)).into_iter().peekable();
    let mut paths = Vec::new();
    while let Some(token) = tokens.next() {
        if ["crate", "self", "super"].contains(&token.as_str()) && tokens.next_if_eq("::").is_some() {
            tree(vec![token], &mut tokens, &mut paths);
        }
    }
    paths
}

pub fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(code, _)| code)
}

/// What follows a `::`: a name, a name and more, or several in braces.
fn tree(mut path: Vec<String>, tokens: &mut Peekable<IntoIter<String>>, paths: &mut Vec<Vec<String>>) {
    match tokens.peek().map(String::as_str) {
        Some("{") => {
            tokens.next();
            while tokens.next_if_eq("}").is_none() {
                match tokens.peek().map(String::as_str) {
                    Some(name) if is_name(name) => tree(path.clone(), tokens, paths),
                    Some(_) => drop(tokens.next()),
                    None => return,
                }
            }
        }
        Some(name) if is_name(name) => {
            path.extend(tokens.next());
            if tokens.next_if_eq("::").is_some() {
                return tree(path, tokens, paths);
            }
            if tokens.next_if_eq("as").is_some() {
                tokens.next();
            }
            paths.push(path);
        }
        _ => paths.push(path),
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// Names, `::`, and other characters one by one.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("::") => {
                tokens.push("::".to_owned());
                2
            }
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw(rest),
            '"' => quoted(rest),
            '\'' => character(rest),
            '_' | 'a'..='z' | 'A'..='Z' => {
                let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
                tokens.push(rest[..end].to_owned());
                end
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(first.to_string());
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the literal that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw(text: &str) -> usize {
    let marks = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + marks..].starts_with('"') {
        return 1;
    }
    let end = format!("\"{}", "#".repeat(marks));
    let from = marks + 2;
    text[from..].find(&end).map_or(text.len(), |at| from + at + end.len())
}

/// A character, or just the mark of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => text[2..].find('\'').map_or(text.len(), |at| at + 3).max(4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn paths_are_found_wherever_they_stand_in_code() {
    let text = r##"
        //! crate::comment
        use crate::a::{self, b::{C, D as E}, *};
        pub(crate) use super::super::f;
        fn g<'a>(x: &'a crate::h::I) -> char { let _ = ("crate::text", r#"crate::"raw"#, '"'); super::j() }
        #[cfg(test)]
        mod tests { use crate::k; }
    "##;
    let text = text.replace("        ", "");
    let found: Vec<String> = of(&text).into_iter().map(|path| path.join("::")).collect();
    let wanted =
        ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "super::super::f", "crate::h::I", "super::j"];
    assert_eq!(found, wanted);
}
