//! Every secret is found, and nothing else.

use serde_json::{Value, json};

use super::place;
use crate::{Form, llm, mcp_server_patch, openhands_settings};

/// Where secrets are.
fn found(form: &Form, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    form.map_secrets(&mut value.clone(), &mut |at, _| {
        found.push(place(at));
        Value::Null
    });
    found
}

#[test]
fn every_secret_is_found_and_nothing_else() {
    let settings = json!({
        "llm": {"model": "m", "api_key": "1", "aws_session_token": "2", "base_url": "http://x",
            "extra_headers": {"Authorization": "12"}},
        "mcp_config": {"s": {"command": "c", "args": ["a"], "env": {"K": "3"}, "headers": {"H": "4"},
            "auth": {"strategy": "oauth2", "authentication": {"client_id": "i", "client_secret": "5"},
                "state": {"tokens": {"access_token": "6", "token_type": "bearer"}}}}},
        "agent_context": {"system_message_suffix": "s", "secrets": {
            "PLAIN": "7",
            "STATIC": {"kind": "StaticSecret", "value": "8", "description": "d"},
            "LOOKUP": {"kind": "LookupSecret", "url": "http://x", "headers": {"X-Key": "9"}},
        }},
        "verification": {"critic_api_key": "10", "critic_server_url": "http://x"},
        "meta_profile_llms": {"fast": {"model": "m", "api_key": "11"}},
    });
    assert_eq!(
        found(openhands_settings(), &settings),
        [
            "llm.api_key",
            "llm.aws_session_token",
            "llm.extra_headers.Authorization",
            "mcp_config.s.env.K",
            "mcp_config.s.headers.H",
            "mcp_config.s.auth.authentication.client_secret",
            "mcp_config.s.auth.state.tokens.access_token",
            "agent_context.secrets.PLAIN",
            "agent_context.secrets.STATIC.value",
            "agent_context.secrets.LOOKUP.headers.X-Key",
            "verification.critic_api_key",
            "meta_profile_llms.fast.api_key",
        ]
    );
}

#[test]
fn a_secret_is_found_in_what_is_not_complete() {
    // Without the tag that says which kind of object it is.
    assert_eq!(
        found(mcp_server_patch(), &json!({"auth": {"value": "v", "header_name": "h"}})),
        ["auth.value"]
    );
    assert_eq!(found(llm(), &json!({"api_key": null, "api_version": "v"})), [""; 0]);
    assert_eq!(found(llm(), &json!(["api_key"])), [""; 0]);
}

#[test]
fn what_is_put_in_the_place_of_a_secret_may_be_anything() {
    let mut value = json!({"api_key": "k", "aws_access_key_id": "a"});
    llm().map_secrets(&mut value, &mut |_, text| if text == "k" { Value::Null } else { "**********".into() });
    assert_eq!(value, json!({"api_key": null, "aws_access_key_id": "**********"}));
}
