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

/// A meta-profile chooses by classes, or by a prompt that tells of the task.
///
/// # Errors
/// The sentence for the client.
pub fn meta_profile_routes(profile: &Value) -> Result<(), &'static str> {
    let has_classes =
        profile.get("classes").and_then(Value::as_array).is_some_and(|classes| !classes.is_empty());
    match profile.get("prompt_template").and_then(Value::as_str) {
        None if !has_classes => Err("A meta-profile needs either classes or a prompt_template to route."),
        None => Ok(()),
        Some(prompt) if !names_task(prompt) => {
            Err("Direct-routing meta-profiles must include {{ instance_text }} in prompt_template.")
        }
        Some(_) if has_classes => Err("Direct-routing meta-profiles cannot also define classes."),
        Some(_) => Ok(()),
    }
}

/// `{{ instance_text }}`, with any blanks around the name.
fn names_task(prompt: &str) -> bool {
    let begins = |(at, _): (usize, char)| {
        let inside = prompt.get(at..).and_then(|rest| rest.strip_prefix("{{"));
        let after_name = inside.and_then(|inside| inside.trim_start().strip_prefix("instance_text"));
        after_name.is_some_and(|rest| rest.trim_start().starts_with("}}"))
    };
    prompt.char_indices().any(begins)
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
    fn a_meta_profile_has_one_way_to_choose() {
        let class = json!([{"description": "d", "model": "m"}]);
        for (profile, is_whole) in [
            (json!({"classes": class}), true),
            (json!({"classes": [], "prompt_template": "do {{instance_text}}"}), true),
            (json!({"classes": [], "prompt_template": "{{ x }} {{{ instance_text\n}}"}), true),
            (json!({"classes": [], "prompt_template": "{{ instance_texts }}"}), false),
            (json!({"classes": [], "prompt_template": "{ instance_text }"}), false),
            (json!({"classes": [], "prompt_template": ""}), false),
            (json!({"classes": class, "prompt_template": "{{ instance_text }}"}), false),
            (json!({"classes": [], "prompt_template": null}), false),
        ] {
            assert_eq!(meta_profile_routes(&profile).is_ok(), is_whole, "{profile}");
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
