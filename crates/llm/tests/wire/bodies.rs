//! The request bodies, compared with those the peer sent in the same situation. Where ours differ on
//! purpose, the case says so in `why`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use types::agent::LlmConfig;
use types::content::Message;
use types::model::{ModelRequest, ToolSchema};

use super::fake::{FakeModel, Heard, SESSION, Turn, client};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "why")]
    _why: Option<String>,
    /// Fields of the model's configuration besides defaults and base URL.
    llm: Map<String, Value>,
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<ToolSchema>,
    body: Value,
}

#[tokio::test]
async fn bodies_are_those_the_peer_sends() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/bodies.json")).unwrap();
    assert!(cases.len() > 15);
    for case in cases {
        let fake = FakeModel::start([Turn::json(400, &Value::Null)]).await;
        let mut llm = serde_json::to_value(fake.llm("")).unwrap();
        llm.as_object_mut().unwrap().extend(case.llm);
        let llm: LlmConfig = serde_json::from_value(llm).unwrap();
        let messages = case.messages.into_iter().map(Arc::new).collect();
        let request = ModelRequest { messages, tools: case.tools.into() };
        let refused = client().complete(&llm, SESSION, &request, Some(&Heard::default())).await;
        assert!(refused.is_err());
        assert_eq!(fake.asked()[0].body, case.body, "{}", case.name);
    }
}
