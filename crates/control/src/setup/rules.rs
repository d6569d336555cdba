//! What forms cannot say: rules between the fields of one value.

use serde_json::Value;

/// A model needs a name.
///
/// # Errors
/// The sentence for the client.
pub fn llm_has_model(given: &Value) -> Result<(), &'static str> {
    let is_named = given.get("model").is_some_and(|model| model.as_str() != Some(""));
    if is_named { Ok(()) } else { Err("model must be specified in LLM") }
}

/// What an MCP server needs, by the way in which it is reached. Neither a command nor a URL is no fault, as in the peer.
///
/// # Errors
/// The sentence for the client.
pub fn mcp_server_is_whole(server: &Value) -> Result<(), &'static str> {
    let is_set = |field: &str| server.get(field).is_some_and(|value| !value.is_null());
    // A transport that is not named is not guessed.
    match server.get("transport").and_then(Value::as_str) {
        Some("stdio") if !is_set("command") => return Err("stdio MCP servers require 'command'"),
        Some("http" | "streamable-http" | "sse") if !is_set("url") => {
            return Err("remote MCP servers require 'url'");
        }
        _ => {}
    }
    if is_set("auth") && has_authorization(server) {
        return Err("'auth' cannot be combined with an explicit top-level 'Authorization' header; \
                    use auth.strategy='header' instead.");
    }
    Ok(())
}

fn has_authorization(server: &Value) -> bool {
    let headers = server.get("headers").and_then(Value::as_object);
    headers.is_some_and(|headers| headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_has_a_name() {
        assert!(llm_has_model(&json!({"model": "m"})).is_ok());
        for given in [json!({}), json!({"model": ""})] {
            assert!(llm_has_model(&given).is_err(), "{given}");
        }
    }

    #[test]
    fn a_server_has_what_its_transport_needs() {
        for (server, is_whole) in [
            (json!({"command": "true"}), true),
            (json!({"transport": "stdio", "command": "true"}), true),
            (json!({"transport": "stdio", "command": null}), false),
            (json!({"transport": "sse"}), false),
            (json!({"transport": "http", "url": "http://x"}), true),
            (json!({"enabled": true}), true),
            (json!({"url": "http://x", "headers": {"authorization": "a"}}), true),
            (
                json!({"url": "http://x", "headers": {"authorization": "a"}, "auth": {"strategy": "bearer"}}),
                false,
            ),
        ] {
            assert_eq!(mcp_server_is_whole(&server).is_ok(), is_whole, "{server}");
        }
    }
}
