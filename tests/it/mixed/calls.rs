//! The round of calls that `calls.txt` tells, line by line.

use std::collections::BTreeMap;

use reqwest::Method;

/// What is known by name: of a client from the start, and what answers have told.
pub type Known = BTreeMap<String, String>;

pub enum Step {
    Call(Call),
    /// Until the conversation rests so.
    Wait(&'static str),
}

pub struct Call {
    pub method: Method,
    /// As in the API's document.
    pub path: String,
    /// The same with `{name=VALUE}`, and the query.
    target: &'static str,
    pub body: Option<&'static str>,
    /// What of the answer is known from now on: its name, and where it stands: a pointer into the body, or a header.
    pub tells: Option<(&'static str, &'static str)>,
    /// It is answered with one of these; where there are none, with success.
    pub statuses: Vec<u16>,
}

pub fn read(text: &'static str) -> Vec<Step> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(step).collect()
}

fn step(line: &'static str) -> Step {
    if let Some(status) = line.strip_prefix("WAIT ") {
        return Step::Wait(status);
    }
    let (line, statuses) = line.rsplit_once(" ! ").unwrap_or((line, ""));
    let statuses = statuses.split_whitespace().map(|status| status.parse().expect("a status")).collect();
    let (line, tells) = match line.rsplit_once(" => ") {
        Some((line, tells)) => (line, Some(tells.split_once(' ').expect("a name and a pointer"))),
        None => (line, None),
    };
    let (method, rest) = line.split_once(' ').expect("a method and a path");
    let (target, body) = rest.split_once(' ').map_or((rest, None), |(target, body)| (target, Some(body)));
    let path = pieces(target.split('?').next().unwrap_or_default())
        .map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Named { name, .. } => format!("{{{name}}}"),
        })
        .collect();
    Step::Call(Call { method: method.parse().expect("a method"), path, target, body, tells, statuses })
}

impl Call {
    /// The operation, as in the API's document.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Path and query, as they are asked for.
    pub fn address(&self, known: &Known) -> String {
        let parts = pieces(self.target).map(|piece| match piece {
            Piece::Text(text) => filled(text, known),
            Piece::Named { value: Some(value), .. } => filled(value, known),
            Piece::Named { name: "runtime_conversation_id", .. } => known["conversation_id"].clone(),
            Piece::Named { name, .. } => known[name].clone(),
        });
        parts.collect()
    }
}

/// A text with `$name` filled in; where one name begins another, the longer one counts.
pub fn filled(text: &str, known: &Known) -> String {
    let mut names: Vec<&String> = known.keys().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, name| text.replace(&format!("${name}"), &known[name]))
}

enum Piece {
    Text(&'static str),
    Named { name: &'static str, value: Option<&'static str> },
}

fn pieces(target: &'static str) -> impl Iterator<Item = Piece> {
    target.split_inclusive('}').flat_map(|part| match part.split_once('{') {
        Some((text, named)) => {
            let named = named.trim_end_matches('}');
            let (name, value) =
                named.split_once('=').map_or((named, None), |(name, value)| (name, Some(value)));
            vec![Piece::Text(text), Piece::Named { name, value }]
        }
        None => vec![Piece::Text(part)],
    })
}
