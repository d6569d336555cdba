//! What a call has used, where its provider does not say it.

use serde_json::json;
use types::agent::LlmConfig;
use types::content::{Content, Message};

use super::fake::{FakeModel, Turn, ask, chat, user};

#[tokio::test]
async fn a_call_that_nobody_counts_is_estimated_and_not_free() {
    let image = Content::Image {
        cache_prompt: false,
        image_urls: vec![format!("data:image/png;base64,{}", "A".repeat(1 << 20))],
    };
    let shown = Message { content: vec![image], ..user("") };
    let mut answer = chat(json!({"content": "four".repeat(100)}));
    for usage in [None, Some(json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}))] {
        answer["usage"] = usage.unwrap_or_default();
        let fake = FakeModel::start([Turn::ok(&answer)]).await;
        let llm = LlmConfig {
            input_cost_per_token: Some(0.001),
            output_cost_per_token: Some(0.1),
            ..fake.llm("openai/x")
        };
        let done = ask(&llm, vec![user(&"word".repeat(5_000)), shown.clone()]).await.unwrap();
        assert_eq!(done.tokens.completion_tokens, 100);
        assert!((6_000..6_100).contains(&done.tokens.prompt_tokens), "{}", done.tokens.prompt_tokens);
        assert!((16.0..16.1).contains(&done.cost), "{}", done.cost);
    }
}
