//! What a client asks: a server, and how it is tried.
//!
//! A server is written as settings write it, or as older clients do, with a `type`. Both become what settings have, and are
//! checked by the same form; what is wrong is told at the place where the client has written it.

use std::sync::LazyLock;
use std::time::Duration;

use forms::{Form, Step, Trouble};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use types::mcp::ToolCall;
use types::secrets::MASK;

use crate::Refusal;
use crate::setup::mcp_server_is_whole;
use crate::shelf::{Expose, Sealing};

const MOST_BYTES: usize = 256 << 10;
const BODY: &[&str] = &["body"];

/// Of each way to reach a server, what it may have.
const PROGRAM: [&str; 4] = ["command", "args", "env", "cwd"];
const REMOTE: [&str; 6] = ["url", "headers", "auth", "timeout", "sse_read_timeout", "keep_alive"];
const TYPES: [&str; 5] = ["stdio", "http", "shttp", "streamable-http", "sse"];

/// A server, and how it is tried.
#[derive(Clone, Serialize, Deserialize)]
pub struct Request {
    /// As the form of servers has it.
    pub(super) server: Value,
    pub(super) patience: Duration,
    pub(super) tool_call: Option<ToolCall>,
}

/// All but the server.
static ENVELOPE: LazyLock<Form> = LazyLock::new(|| {
    let schema = r#"{"type": "object", "required": ["server"], "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 128},
        "server": {},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 120, "default": 15.0},
        "tool_call": {"default": null, "anyOf": [{"type": "null"}, {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "minLength": 1},
            "arguments": {"type": "object"}}}]}}}"#;
    #[expect(clippy::expect_used, reason = "a test reads it")]
    Form::read(schema).expect("it is a form")
});

impl Request {
    /// # Errors
    /// `Troubles`, `TooLarge`.
    pub fn read(body: Value) -> Result<Self, Refusal> {
        if body.get("server").is_some_and(|server| server.get("authentication").is_some()) {
            let why = "OAuth authentication metadata belongs under auth.authentication.";
            return Err(troubles(vec![value_error(Vec::new(), why)]));
        }
        let mut filled = ENVELOPE.fill(body).map_err(troubles)?;
        let server = filled.get_mut("server").map(Value::take).unwrap_or_default();
        if server.to_string().len() > MOST_BYTES {
            return Err(Refusal::TooLarge("An MCP server may have at most 256 KiB."));
        }
        let call = filled.get_mut("tool_call").map(Value::take).unwrap_or_default();
        Ok(Self {
            server: read_server(server).map_err(troubles)?,
            patience: Duration::from_secs_f64(filled.get("timeout").and_then(Value::as_f64).unwrap_or(15.0)),
            tool_call: serde_json::from_value(call).unwrap_or_default(),
        })
    }

    /// Whether the server asks for a login.
    #[must_use]
    pub fn has_login(&self) -> bool {
        self.server.pointer("/auth/strategy").and_then(Value::as_str) == Some("oauth2")
    }

    /// With secrets in plain text. A mask stands for nothing here: nothing of this server is stored.
    ///
    /// # Errors
    /// `Unfit` where a token does not open.
    pub(super) fn opened(mut self, sealing: &Sealing<'_>) -> Result<Self, Refusal> {
        let form = forms::mcp_server();
        form.map_secrets(&mut self.server, &mut |_, text| {
            if text == MASK { Value::Null } else { text.into() }
        });
        sealing.take(form, &mut self.server).map_err(|_| {
            Refusal::Unfit(
                "A sealed secret in the request cannot be opened with this server's key".to_owned(),
            )
        })?;
        sealing.show(form, &mut self.server, Expose::Plain)?;
        Ok(self)
    }
}

fn read_server(server: Value) -> Result<Value, Vec<Trouble>> {
    let at =
        |rest: &[&str]| ["server"].iter().chain(rest).map(|&step| Step::Field(step.to_owned())).collect();
    let Value::Object(mut given) = server else {
        return Err(vec![Trouble {
            kind: "model_attributes_type",
            at: at(&[]),
            says: "Input should be a valid dictionary or object to extract fields from".to_owned(),
            bounds: None,
        }]);
    };
    let kind = kind_of(&mut given).ok_or_else(|| vec![unknown_type(at(&[]))])?;
    let fields: &[&str] = if kind == "stdio" { &PROGRAM } else { &REMOTE };
    let mut named = Map::new();
    for &field in fields {
        named.extend(given.shift_remove(field).map(|value| (field.to_owned(), value)));
    }
    let needed = if kind == "stdio" { "command" } else { "url" };
    if named.get(needed).is_none_or(Value::is_null) {
        let (kind_of_trouble, says) = match named.get(needed) {
            None => ("missing", "Field required"),
            Some(_) => ("string_type", "Input should be a valid string"),
        };
        let (at, says) = (at(&[kind, needed]), says.to_owned());
        return Err(vec![Trouble { kind: kind_of_trouble, at, says, bounds: None }]);
    }
    let transport = if kind == "shttp" { "http" } else { kind };
    named.insert("transport".to_owned(), transport.into());
    let below = |mut trouble: Trouble| {
        trouble.at = at(&[kind]).into_iter().chain(trouble.at).collect::<Vec<_>>();
        trouble
    };
    let form = forms::mcp_server();
    let server = form.fill(named.into()).map_err(|list| list.into_iter().map(below).collect::<Vec<_>>())?;
    mcp_server_is_whole(&server).map_err(|why| vec![value_error(at(&[kind]), why)])?;
    Ok(server)
}

/// How the server is reached; without a word about it by what there is.
fn kind_of(given: &mut Map<String, Value>) -> Option<&'static str> {
    let named = match given.shift_remove("type") {
        Some(named) => named,
        None => given.shift_remove("transport").unwrap_or_default(),
    };
    if named.is_null() {
        return Some(if given.contains_key("command") { "stdio" } else { "http" });
    }
    let named = named.as_str()?;
    TYPES.into_iter().find(|known| *known == named)
}

fn unknown_type(at: Vec<Step>) -> Trouble {
    let names = TYPES.map(|name| format!("'{name}'")).join(", ");
    Trouble {
        kind: "union_tag_invalid",
        at,
        says: format!("Input tag found using 'type' does not match any of the expected tags: {names}"),
        bounds: Some(json!({"discriminator": "'type'", "expected_tags": names})),
    }
}

fn value_error(at: Vec<Step>, why: &str) -> Trouble {
    Trouble {
        kind: "value_error",
        at,
        says: format!("Value error, {why}"),
        bounds: Some(json!({ "error": why })),
    }
}

fn troubles(list: Vec<Trouble>) -> Refusal {
    Refusal::Troubles { root: BODY, list }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a body: kinds and places.
    fn wrong(body: Value) -> Vec<(&'static str, String)> {
        let Err(Refusal::Troubles { list, .. }) = Request::read(body.clone()) else {
            panic!("{body} was read")
        };
        let place = |trouble: &Trouble| {
            let steps = trouble.at.iter().map(|step| match step {
                Step::Field(name) => name.clone(),
                Step::Index(index) => index.to_string(),
            });
            steps.collect::<Vec<_>>().join("/")
        };
        list.iter().map(|trouble| (trouble.kind, place(trouble))).collect()
    }

    #[test]
    fn what_is_wrong_is_told_where_the_peer_tells_it() {
        for (body, kind, place) in [
            (json!({}), "missing", "server"),
            (json!([]), "model_attributes_type", ""),
            (json!({"server": 1}), "model_attributes_type", "server"),
            (json!({"server": {}}), "missing", "server/http/url"),
            (json!({"server": {"type": "stdio"}}), "missing", "server/stdio/command"),
            (json!({"server": {"url": ""}}), "string_too_short", "server/http/url"),
            (json!({"server": {"type": "zz", "url": "http://x"}}), "union_tag_invalid", "server"),
            (json!({"server": {"url": "http://x", "authentication": {}}}), "value_error", ""),
            (json!({"server": {"url": "http://x"}, "timeout": 0}), "greater_than", "timeout"),
            (json!({"server": {"url": "http://x"}, "timeout": 121}), "less_than_equal", "timeout"),
            (json!({"server": {"url": "http://x"}, "tool_call": {}}), "missing", "tool_call/name"),
            (json!({"server": {"url": "http://x"}, "name": ""}), "string_too_short", "name"),
            (
                json!({"server": {"url": "http://x", "headers": {"Authorization": "b"},
                    "auth": {"strategy": "bearer", "value": "t"}}}),
                "value_error",
                "server/http",
            ),
        ] {
            assert_eq!(wrong(body.clone()), [(kind, place.to_owned())], "{body}");
        }
    }

    #[test]
    fn both_ways_to_write_a_server_are_read() {
        for (server, transport) in [
            (json!({"command": "true"}), "stdio"),
            (json!({"type": "stdio", "command": "true", "args": [], "env": {}, "cwd": null}), "stdio"),
            (json!({"url": "http://x"}), "http"),
            (json!({"type": "shttp", "url": "http://x"}), "http"),
            (json!({"url": "http://x", "transport": "sse", "enabled": false, "icon": "i"}), "sse"),
        ] {
            let read = Request::read(json!({"server": server})).ok().unwrap();
            assert_eq!(
                (read.server["transport"].as_str(), read.patience.as_secs()),
                (Some(transport), 15),
                "{server}"
            );
        }
    }
}
