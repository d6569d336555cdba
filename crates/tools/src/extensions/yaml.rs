//! YAML as JSON.
//!
//! The library tells of the text piece by piece, and the value is put together here, because a value may name itself again and
//! again (`*name`): a few lines would fill the memory. So all nodes are counted, those that are named again, too.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use super::Unfit;

const MOST_NODES: usize = 20_000;
const DEEPEST: usize = 64;

/// # Errors
/// What is no YAML, has several documents, or is too large or too deep.
pub(super) fn parse(text: &str) -> Result<Value, Unfit> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|_| Unfit::FrontMatter)?;
        builder.take(event)?;
    }
    Ok(builder.root.unwrap_or_default())
}

#[derive(Default)]
struct Builder {
    root: Option<Value>,
    open: Vec<Open>,
    named: HashMap<usize, Value>,
    nodes: usize,
}

/// What is not complete yet; a name of 0 is none.
struct Open {
    name: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), Unfit> {
        match event {
            Event::Scalar(text, style, name, tag) => {
                let value = scalar(&text, style, tag.as_deref())?;
                self.complete(value, name, 1)
            }
            Event::Alias(name) => {
                let value = self.named.get(&name).cloned().ok_or(Unfit::FrontMatter)?;
                let weight = nodes(&value);
                self.complete(value, 0, weight)
            }
            Event::SequenceStart(name, _) => self.begin(Open { name, kind: Kind::List(Vec::new()) }),
            Event::MappingStart(name, _) => self.begin(Open { name, kind: Kind::Map(Map::new(), None) }),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { name, kind }) = self.open.pop() else { return Err(Unfit::FrontMatter) };
                let value = match kind {
                    Kind::List(items) => items.into(),
                    Kind::Map(fields, _) => fields.into(),
                };
                self.complete(value, name, 1)
            }
            Event::DocumentStart(_) if self.root.is_some() => Err(Unfit::FrontMatter),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), Unfit> {
        if self.open.len() >= DEEPEST {
            return Err(Unfit::FrontMatter);
        }
        self.open.push(open);
        Ok(())
    }

    /// `weight`: nodes that are new with it.
    fn complete(&mut self, value: Value, name: usize, weight: usize) -> Result<(), Unfit> {
        self.nodes += weight;
        if self.nodes > MOST_NODES {
            return Err(Unfit::FrontMatter);
        }
        if name != 0 {
            self.named.insert(name, value.clone());
        }
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(value),
            Some(Kind::List(items)) => items.push(value),
            Some(Kind::Map(fields, key)) => match key.take() {
                None => *key = Some(text_of(&value)),
                Some(key) => drop(fields.insert(key, value)),
            },
        }
        Ok(())
    }
}

fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(nodes).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Unfit> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(Unfit::FrontMatter),
        Some(tag) if tag.suffix == "str" => Ok(text.into()),
        Some(_) => Ok(plain(text)),
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(text.into()),
    }
}

/// As version 1.1 of YAML understands a word without quotes.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => number(text).unwrap_or_else(|| text.into()),
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.replace('_', "");
    let unsigned = digits.trim_start_matches(['-', '+']);
    if digits.len() - unsigned.len() > 1 || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let is_whole = unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let has_octal_form = unsigned.len() > 1 && unsigned.starts_with('0');
    if is_whole && !has_octal_form {
        return digits.trim_start_matches('+').parse::<i64>().ok().map(Value::from);
    }
    let is_fraction =
        unsigned.contains('.') && unsigned.bytes().all(|byte| b"0123456789.eE+-".contains(&byte));
    if is_fraction { digits.parse::<f64>().ok().map(Value::from) } else { None }
}

/// A value where only a text can be, as the peer makes one of it.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_word_without_quotes_means_what_it_looks_like() {
        let text = "a: yes\nb: 'yes'\nc: 12\nd: 1.5\ne: ~\nf: v1.2.3\ng: 1.2.3\nh: 007\ni: !!str 5\nj: [x, {k: -3}]\nk: |\n  a\n  b\n";
        let wanted = json!({"a": true, "b": "yes", "c": 12, "d": 1.5, "e": null, "f": "v1.2.3", "g": "1.2.3", "h": "007",
            "i": "5", "j": ["x", {"k": -3}], "k": "a\nb\n"});
        assert_eq!(parse(text).unwrap(), wanted);
    }

    #[test]
    fn what_names_itself_again_and_again_fills_no_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for at in 1..20 {
            let before = at - 1;
            text += &format!("a{at}: &a{at} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
        }
        assert!(parse(&text).is_err());
        assert_eq!(parse("a: &x [1]\nb: *x\n").unwrap(), json!({"a": [1], "b": [1]}));
    }

    #[test]
    fn what_is_too_deep_or_no_yaml_is_refused() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        for text in ["a: b: c", "a: [", "a: !python/object x", "- a\n---\n- b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
