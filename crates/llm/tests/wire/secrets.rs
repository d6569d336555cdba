//! Keys stay out of what is told.

use serde_json::json;
use types::agent::LlmConfig;

use super::fake::{FakeModel, Heard, Turn, ask, ask_streamed, user};

const KEY: &str = "sk-very-secret-key";

#[tokio::test]
async fn a_key_never_shows_in_an_error() {
    let echo =
        json!({"error": {"message": format!("bad request by {KEY} via header-secret and url-secret")}});
    for status in [400, 403, 404, 429, 500] {
        let fake = FakeModel::start([Turn::json(status, &echo)]).await;
        let llm = LlmConfig {
            api_key: Some(KEY.to_owned()),
            base_url: Some(fake.url().replace("http://", "http://user:url-secret@")),
            extra_headers: json!({"X-Key": "header-secret"}).as_object().cloned(),
            num_retries: 1,
            ..fake.llm("openai/x")
        };
        let heard = Heard::default();
        let failure = ask_streamed(&llm, vec![user("go")], &heard).await.unwrap_err();
        let shown = format!("{failure:?} {:?}", heard.events());
        assert!(shown.contains("bad request by"), "{shown}");
        for secret in [KEY, "header-secret", "url-secret"] {
            assert!(!shown.contains(secret), "{status}: {shown}");
        }
    }
}

#[tokio::test]
async fn no_part_of_what_holds_a_key_shows() {
    let secrets = ["bearer-secret", "query-secret", "body-secret", "user-secret", "nested-secret"];
    let echo = json!({"error": {"message": format!("{}: {}", "x".repeat(1_890), secrets.join(" and "))}});
    let fake = FakeModel::start([Turn::json(400, &echo)]).await;
    let extra =
        json!({"api_key": "body-secret", "options": {"access_token": "nested-secret", "key_words": "and"}});
    let llm = LlmConfig {
        base_url: Some(fake.url().replace("http://", "http://user-secret@") + "/v1?api_key=query-secret"),
        extra_headers: json!({"Authorization": "Bearer bearer-secret"}).as_object().cloned(),
        litellm_extra_body: extra.as_object().cloned().unwrap(),
        num_retries: 1,
        ..fake.llm("openai/x")
    };
    let detail = ask(&llm, vec![user("go")]).await.unwrap_err().detail;
    assert!(detail.contains(" and "), "{detail}");
    for secret in secrets {
        // Not even what is left of one where the text is cut.
        assert!(!detail.contains(&secret[..6]), "{detail}");
    }
}

#[tokio::test]
async fn an_unreachable_url_does_not_show_its_user() {
    let fake = FakeModel::start([]).await;
    let llm = LlmConfig {
        base_url: Some("http://someone:url-secret@127.0.0.1:1/v1".to_owned()),
        num_retries: 1,
        ..fake.llm("openai/x")
    };
    let failure = ask(&llm, vec![user("go")]).await.unwrap_err();
    let shown = format!("{failure:?}");
    assert!(!shown.contains("url-secret") && !shown.contains("someone"), "{shown}");
}
