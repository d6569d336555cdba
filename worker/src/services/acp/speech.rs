//! What is said to an agent: who we are, a login where it wants one, and a session, whose answer names the models.

use std::path::Path;
use std::sync::Arc;

use jsonrpc::{Broken, Peer, Wire};
use serde_json::{Value, json};
use types::acp::{AcpDiscovery, AcpModel};

use super::environment::Environment;
use super::login;

/// # Errors
/// Where the agent refuses or does not answer.
pub(super) async fn discover<W: Wire<Error = Broken>>(
    wire: W,
    workspace: &Path,
    environment: Arc<Environment>,
) -> Result<AcpDiscovery, Broken> {
    let mut agent = Peer::new(wire);
    let us = json!({"protocolVersion": 1, "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false},
        "terminal": false}});
    let said = agent.call("initialize", &us).await?;
    let methods = said.get("authMethods").and_then(Value::as_array).into_iter().flatten();
    let offered: Vec<String> =
        methods.filter_map(|method| Some(method.get("id")?.as_str()?.to_owned())).collect();
    let choosing = tokio::task::spawn_blocking(move || login::method(&offered, &environment));
    if let Some(login) = choosing.await.unwrap_or_default() {
        agent.call("authenticate", &login).await?;
    }
    let session =
        agent.call("session/new", &json!({"cwd": workspace.to_string_lossy(), "mcpServers": []})).await?;
    let (current_model_id, available_models) = models(&session);
    let discovery = AcpDiscovery {
        agent_name: said.pointer("/agentInfo/name").and_then(text),
        agent_version: said.pointer("/agentInfo/version").and_then(text),
        current_model_id,
        available_models,
        ..AcpDiscovery::default()
    };
    Ok(discovery.bounded())
}

/// The model of a session and those there are: an option that is called so, else what older agents say.
fn models(session: &Value) -> (Option<String>, Vec<AcpModel>) {
    let mut options = session.get("configOptions").and_then(Value::as_array).into_iter().flatten();
    let is_meant = |option: &&Value| {
        option.get("id").and_then(Value::as_str) == Some("model")
            && option.get("type").and_then(Value::as_str) == Some("select")
    };
    if let Some(option) = options.find(is_meant) {
        let listed = list(option.get("options"), "value");
        return (option.get("currentValue").and_then(text), listed);
    }
    let of_models = |field: &str| session.get("models").and_then(|models| models.get(field));
    (of_models("currentModelId").and_then(text), list(of_models("availableModels"), "modelId"))
}

fn list(models: Option<&Value>, id: &str) -> Vec<AcpModel> {
    let models = models.and_then(Value::as_array).into_iter().flatten();
    let read = |model: &Value| {
        Some(AcpModel {
            model_id: model.get(id).and_then(text)?,
            name: model.get("name").and_then(text),
            description: model.get("description").and_then(text),
        })
    };
    models.filter_map(read).collect()
}

/// A text that is not blank.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_list_models_are_read() {
        let by_option = json!({"configOptions": [{"id": "mode", "type": "select", "options": [{"value": "x"}]},
            {"id": "model", "type": "select", "currentValue": "a", "options": [{"value": "a", "name": "A"}, {"name": "no id"}]}],
            "models": {"currentModelId": "not this"}});
        let older =
            json!({"models": {"currentModelId": "a", "availableModels": [{"modelId": "a", "name": "A"}]}});
        let a = AcpModel { model_id: "a".to_owned(), name: Some("A".to_owned()), description: None };
        for session in [by_option, older] {
            assert_eq!(models(&session), (Some("a".to_owned()), vec![a.clone()]), "{session}");
        }
        assert_eq!(models(&json!({"sessionId": "s"})), (None, vec![]));
    }
}
