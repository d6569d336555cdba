//! What an agent says, without the secrets that it was given.

use serde_json::Value;
use types::acp::{AcpDiscovery, AcpFailure, AcpModel, AcpProgram};

use crate::hidden::Hidden;

/// A text within a file that is shorter is a word of its format.
const LEAST: usize = 16;

/// The secrets of a program. A variable that names a model is none, and models must be told.
pub(super) fn hidden(program: &AcpProgram) -> Hidden {
    let variables = program.env.iter().filter(|(name, _)| !name.ends_with("_MODEL"));
    let mut values: Vec<String> = variables.map(|(_, value)| value.clone()).collect();
    for file in &program.files {
        values.push(file.text.clone());
        if let Ok(content) = serde_json::from_str(&file.text) {
            add_texts(&content, &mut values);
        }
    }
    Hidden::new(values)
}

/// No more of it than is remembered: a worker may have said anything.
pub(super) fn without(hidden: &Hidden, found: AcpDiscovery) -> AcpDiscovery {
    let found = found.bounded();
    let text = |text: String| hidden.in_text(text);
    let may_name = |model: &String| hidden.may_name(model);
    let model = |AcpModel { model_id, name, description }: AcpModel| AcpModel {
        model_id,
        name: name.map(text),
        description: description.map(text),
    };
    let models = found.available_models.into_iter().filter(|model| may_name(&model.model_id));
    AcpDiscovery {
        agent_name: found.agent_name.map(text),
        agent_version: found.agent_version.map(text),
        current_model_id: found.current_model_id.filter(may_name),
        available_models: models.map(model).collect(),
        error: found.error.map(|AcpFailure { code, detail }| AcpFailure { code, detail: text(detail) }),
        supports_runtime_model_switch: found.supports_runtime_model_switch,
    }
}

fn add_texts(value: &Value, to: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= LEAST => to.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| add_texts(value, to)),
        Value::Object(fields) => fields.values().for_each(|value| add_texts(value, to)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use types::acp::AcpFile;
    use types::secrets::MASK;

    use super::*;

    #[test]
    fn no_secret_of_an_agent_is_in_what_it_says() {
        let file = AcpFile {
            folder: "f".to_owned(),
            name: "auth.json".to_owned(),
            variable: "F".to_owned(),
            is_folder_named: false,
            text: r#"{"mode": "chatgpt", "tokens": {"access_token": "marked-token-of-a-file"}}"#.to_owned(),
        };
        let variables = [("KEY", "marked-words"), ("PROVIDER", "openai"), ("ANTHROPIC_MODEL", "a-model")];
        let program = AcpProgram {
            env: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            files: vec![file],
            ..AcpProgram::default()
        };
        let model = |id: &str, text: &str| AcpModel {
            model_id: id.to_owned(),
            name: Some(text.to_owned()),
            description: Some(text.to_owned()),
        };
        let said = AcpDiscovery {
            agent_name: Some("marked-words".to_owned()),
            agent_version: Some("marked-token-of-a-file".to_owned()),
            current_model_id: Some("a-model of chatgpt".to_owned()),
            available_models: vec![
                model("openai/gpt-5", "x marked-words"),
                model("of marked-token-of-a-file", "x"),
            ],
            ..AcpDiscovery::default()
        };
        let told = without(&hidden(&program), said);
        assert_eq!((told.agent_name.as_deref(), told.agent_version.as_deref()), (Some(MASK), Some(MASK)));
        assert_eq!(told.current_model_id.as_deref(), Some("a-model of chatgpt"));
        assert_eq!(told.available_models, [model("openai/gpt-5", &format!("x {MASK}"))]);
    }
}
