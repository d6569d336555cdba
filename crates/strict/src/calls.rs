//! Names of tools, ids of calls, and that each call has its result.

use std::collections::HashSet;

use serde_json::Value;

use crate::look::{Verdict, demand, text};

/// OpenAI: "Invalid 'tools': array too long. Expected an array with maximum length 128".
const MOST_TOOLS: usize = 128;
/// OpenAI, DeepSeek and Qwen: 64 characters.
const LONGEST_NAME: usize = 64;

/// Of arguments.
const MOST_LEVELS: usize = 64;

/// What an id may look like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenAI: 40 characters at most in chat completions. Anthropic: "should match pattern '^[a-zA-Z0-9_-]+$'".
    Usual,
    /// Mistral: "Tool call id … must be a-z, A-Z, 0-9, with a length of 9".
    NineLetters,
}

impl Form {
    pub fn of(body: &Value) -> Self {
        if is_of_mistral(body) { Self::NineLetters } else { Self::Usual }
    }

    fn takes(self, id: &str) -> bool {
        match self {
            Self::Usual => (1..=40).contains(&id.len()) && id.bytes().all(is_plain),
            Self::NineLetters => id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        }
    }
}

pub fn is_of_mistral(body: &Value) -> bool {
    let model = text(body, "model").to_ascii_lowercase();
    ["mistral", "mixtral", "devstral", "codestral", "magistral", "ministral", "pixtral"]
        .iter()
        .any(|family| model.contains(family))
}

/// The calls of a request.
pub struct Calls<'a> {
    form: Form,
    all: HashSet<&'a str>,
    /// Those that wait for their results, in their order.
    open: Vec<&'a str>,
}

impl<'a> Calls<'a> {
    pub fn new(form: Form) -> Self {
        Self { form, all: HashSet::new(), open: Vec::new() }
    }

    pub fn call(&mut self, id: &'a str, name: &str, at: &str) -> Verdict {
        demand(self.form.takes(id), || format!("{at}: the id {id:?} is not of the form that is wanted"))?;
        // Anthropic: "`tool_use` ids must be unique".
        demand(self.all.insert(id), || format!("{at}: the id {id:?} is used twice"))?;
        is_name(name, at)?;
        self.open.push(id);
        Ok(())
    }

    /// OpenAI: "must be followed by tool messages responding to each 'tool_call_id'"; Anthropic: "each tool_use must have a single
    /// result"; Bedrock and Mistral count them.
    pub fn result(&mut self, id: &str, at: &str) -> Verdict {
        let Some(expected) = self.open.first() else {
            return Err(format!("{at}: a result of {id:?}, which no call before it waits for"));
        };
        demand(*expected == id, || format!("{at}: a result of {id:?} where that of {expected:?} is due"))?;
        self.open.remove(0);
        Ok(())
    }

    /// That nothing is open where something else begins.
    pub fn none_is_open(&self, at: &str) -> Verdict {
        demand(self.open.is_empty(), || format!("{at}: no result before it of the calls {:?}", self.open))
    }

    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// OpenAI: "string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'"; Gemini: "Invalid function
/// name. Must start with a letter or an underscore."
fn is_name(name: &str, at: &str) -> Verdict {
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let fits = begins && (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain);
    demand(fits, || format!("{at}: {name:?} is no name of a tool"))
}

/// The arguments of a call as text.
pub fn arguments(written: &Value, at: &str) -> Verdict {
    let object =
        written.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    demand(object.is_object(), || format!("{at}: arguments are no JSON object"))?;
    levels(&object, at)
}

/// Parsers of servers: "nesting too deep", of protocol buffers at 100.
pub fn levels(value: &Value, at: &str) -> Verdict {
    demand(depth(value) <= MOST_LEVELS, || format!("{at}: nested too deep"))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Tools that are offered: their names and schemas.
pub fn tools<'a>(tools: impl ExactSizeIterator<Item = (&'a str, &'a Value)>) -> Verdict {
    demand(tools.len() <= MOST_TOOLS, || format!("tools: more than {MOST_TOOLS}"))?;
    let mut names = HashSet::new();
    for (name, schema) in tools {
        is_name(name, "tools")?;
        // Anthropic: "tools: Tool names must be unique."
        demand(names.insert(name), || format!("tools: {name:?} is there twice"))?;
        let is_object = schema.get("type").is_some_and(|kind| kind == "object");
        demand(is_object, || format!("tools: the parameters of {name:?} are of no object"))?;
    }
    Ok(())
}
