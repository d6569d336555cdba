//! Images as each dialect takes them.

use serde_json::Value;
use types::agent::LlmConfig;
use types::content::{Content, Message};

use super::fake::{FakeModel, Turn, ask, calls, result, user};

/// The beginning of a JPEG.
const JPEG: &str = "/9j/4AAEYWL//8AAEQgAEAAg";
const MODELS: [(&str, &str); 3] =
    [("openai/gpt-4o", "auto"), ("openai/gpt-5.2", "responses"), ("anthropic/claude-sonnet-4-5", "auto")];

fn image(url: String) -> Content {
    Content::Image { cache_prompt: false, image_urls: vec![url] }
}

/// The body that is sent.
async fn body(model: &str, api_mode: &str, messages: Vec<Message>) -> Value {
    let fake = FakeModel::start([Turn::json(401, &Value::Null)]).await;
    let llm = LlmConfig { api_mode: api_mode.to_owned(), ..fake.llm(model) };
    assert!(ask(&llm, messages).await.is_err());
    fake.asked()[0].body.clone()
}

#[tokio::test]
async fn an_image_is_sent_as_what_its_bytes_are() {
    for (model, api_mode) in MODELS {
        let wrong = image(format!("data:image/png;base64,{JPEG}"));
        let body =
            body(model, api_mode, vec![Message { content: vec![wrong], ..user("") }]).await.to_string();
        assert!(
            !body.contains("image/png") && body.contains("image/jpeg") && body.contains(JPEG),
            "{model}: {body}"
        );
    }
}

#[tokio::test]
async fn an_image_that_is_none_or_too_large_is_told_of_in_every_dialect() {
    let large = format!("data:image/jpeg;base64,{JPEG}{}", "A".repeat(24 << 20));
    for (model, api_mode) in MODELS {
        for (url, words) in [("data:image/png;base64,PHN2Zz4=", "no PNG"), (large.as_str(), "MiB at most")] {
            let mut tool = result("1", "");
            tool.content = vec![image(url.to_owned())];
            let sent = body(model, api_mode, vec![user("go"), calls(&["1"]), tool]).await.to_string();
            assert!(sent.contains(words) && sent.len() < 100_000, "{model}: {words}");
        }
    }
}
