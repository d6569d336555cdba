//! Texts that begin with fields between two lines of dashes.

use serde_json::{Map, Value};

use super::{Unfit, yaml};

/// Bytes of the fields.
const LONGEST: usize = 64 * 1024;

/// A text and its fields.
#[derive(Debug, Default, PartialEq)]
pub struct Document {
    pub fields: Map<String, Value>,
    /// Without blanks around it.
    pub content: String,
}

/// # Errors
/// For fields that are no YAML, or too much of it.
pub fn read(text: &str) -> Result<Document, Unfit> {
    let text = text.trim();
    let Some((fields, content)) = split(text) else {
        return Ok(Document { fields: Map::new(), content: text.to_owned() });
    };
    if fields.len() > LONGEST {
        return Err(Unfit::FrontMatter);
    }
    let fields = match yaml::parse(fields)? {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    Ok(Document { fields, content: content.trim().to_owned() })
}

/// The fields and what follows; `None` where there are none.
fn split(text: &str) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once('\n')?;
    if !is_boundary(first) {
        return None;
    }
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if is_boundary(line) {
            return Some((rest.get(..at)?, rest.get(at + line.len()..)?));
        }
        at += line.len();
    }
    None
}

fn is_boundary(line: &str) -> bool {
    let line = line.trim_end();
    line.len() >= 3 && line.bytes().all(|byte| byte == b'-')
}

impl Document {
    /// A field by one of its names, if it is not null.
    pub(super) fn get(&self, names: &[&str]) -> Option<&Value> {
        names.iter().find_map(|name| self.fields.get(*name)).filter(|value| !value.is_null())
    }

    /// A text, or whatever stands there as one.
    pub(super) fn text_or(&self, name: &str, default: impl FnOnce() -> String) -> String {
        self.fields.get(name).map_or_else(default, yaml::text_of)
    }

    /// # Errors
    /// For what is there and no text.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Unfit> {
        match self.get(&[name]) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Unfit::Field(name)),
        }
    }
}

pub(super) use yaml::text_of;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_stand_between_two_lines_of_dashes() {
        let Document { fields, content } = read("\n---\nname: a\n---  \n\nbody\n---\nmore\n").unwrap();
        assert_eq!((Value::Object(fields), content.as_str()), (json!({"name": "a"}), "body\n---\nmore"));
        for text in ["no fields", "---\nname: a", "--\na: b\n--\n", "x\n---\na: b\n---\n"] {
            let document = read(text).unwrap();
            assert_eq!((document.fields.len(), document.content.as_str()), (0, text.trim()), "{text}");
        }
        assert_eq!(read("---\n- a\n---\nbody").unwrap().content, "body");
        assert!(read("---\na: [\n---\nbody").is_err());
        assert!(read(&format!("---\na: {}\n---\n", "x".repeat(LONGEST))).is_err());
    }
}
