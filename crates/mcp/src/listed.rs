//! The tools of a server, as it lists them.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::Error;

/// A server whose list of tools goes on and on has so many.
const MOST_TOOLS: usize = 1_000;
const MOST_PAGES: usize = 50;
const MOST_NAME: usize = 256;
/// Bytes of what a tool takes, and of what is said of it. A model could do nothing with more.
const MOST_SCHEMA: usize = 64 << 10;
const MOST_DESCRIPTION: usize = 64 << 10;
/// The same of all tools.
const MOST_BYTES: usize = 4 << 20;

/// A tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub name: String,
    pub description: String,
    /// JSON schema of the arguments.
    pub schema: Map<String, Value>,
    /// What the server says of its effects.
    pub annotations: Map<String, Value>,
}

/// Pages of a list.
#[derive(Default)]
pub(crate) struct Listing {
    tools: Vec<Listed>,
    names: HashSet<String>,
    pages: usize,
    bytes: usize,
}

impl Listing {
    /// Takes a page in, and says where the next one is.
    pub fn add(&mut self, mut page: Value) -> Result<Option<Value>, Error> {
        let listed = page.get_mut("tools").and_then(Value::as_array_mut).map(std::mem::take);
        for tool in listed.ok_or(Error::Strange)? {
            self.take(tool);
        }
        self.pages += 1;
        let cursor = page.get_mut("nextCursor").map(Value::take).filter(|cursor| !cursor.is_null());
        Ok(cursor.filter(|_| self.pages < MOST_PAGES && self.tools.len() < MOST_TOOLS))
    }

    pub fn into_tools(self) -> Vec<Listed> {
        self.tools
    }

    fn take(&mut self, tool: Value) {
        let size = tool.to_string().len();
        let Some(listed) = read(tool) else { return };
        if self.tools.len() == MOST_TOOLS || self.bytes + size > MOST_BYTES {
            return;
        }
        if self.names.insert(listed.name.clone()) {
            self.bytes += size;
            self.tools.push(listed);
        }
    }
}

fn read(tool: Value) -> Option<Listed> {
    let Value::Object(mut tool) = tool else { return None };
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let object = |value: Option<Value>| match value {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let listed = Listed {
        name: text(tool.remove("name")),
        description: text(tool.remove("description")),
        schema: object(tool.remove("inputSchema")),
        annotations: object(tool.remove("annotations")),
    };
    let fits = (1..=MOST_NAME).contains(&listed.name.len())
        && listed.description.len() <= MOST_DESCRIPTION
        && serde_json::to_string(&listed.schema).is_ok_and(|schema| schema.len() <= MOST_SCHEMA);
    fits.then_some(listed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_of_all_pages_are_taken_once_and_without_those_that_are_none() {
        let mut listing = Listing::default();
        let first = json!({"nextCursor": "2", "tools": [{"name": "a", "inputSchema": {"type": "object"}}, {"name": ""},
            7, {"name": "large", "inputSchema": {"a": "x".repeat(MOST_SCHEMA)}}]});
        assert_eq!(listing.add(first).unwrap(), Some(json!("2")));
        let second = json!({"tools": [{"name": "a"}, {"name": "b", "annotations": {"readOnlyHint": true}}]});
        assert_eq!(listing.add(second).unwrap(), None);
        let tools = listing.into_tools();
        assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(tools[0].schema["type"], "object");
        assert_eq!(tools[1].annotations["readOnlyHint"], true);
    }

    #[test]
    fn a_list_without_an_end_has_one() {
        let mut listing = Listing::default();
        let page = |n: usize| json!({"nextCursor": n + 1, "tools": [{"name": n.to_string()}]});
        let pages = (0..).take_while(|n| listing.add(page(*n)).unwrap().is_some()).count();
        assert_eq!(pages, MOST_PAGES - 1);
        assert!(matches!(listing.add(json!({})), Err(Error::Strange)));
    }
}
