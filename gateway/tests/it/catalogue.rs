//! The models and providers there are, to choose from.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Server, start};

const TABLE: &str = include_str!("../../../crates/control/src/catalogue/data/models.tsv");

async fn models(server: &Server, query: &str) -> Vec<String> {
    let (status, answer) = server.get(&format!("/api/llm/models{query}")).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_value(answer["models"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_models_are_listed_and_those_of_a_provider() {
    let server = start().await;
    let table: Vec<&str> = TABLE.lines().map(|line| line.split_once('\t').unwrap().0).collect();
    assert_eq!(models(&server, "").await, table);
    let of_anthropic = models(&server, "?provider=anthropic").await;
    assert!(of_anthropic.is_sorted() && of_anthropic.len() == 8, "{of_anthropic:?}");
    assert_eq!(models(&server, "?provider=nobody").await, [""; 0]);
    let (_, providers) = server.get("/api/llm/providers").await;
    assert!(providers["providers"].as_array().unwrap().contains(&json!("anthropic")));
    let (_, verified) = server.get("/api/llm/models/verified").await;
    assert!(verified["models"]["openhands"].as_array().unwrap().len() > 10, "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_catalogue_already_is_not_sent_it_again() {
    let server = start().await;
    let mut tags = Vec::new();
    for path in [
        "/api/llm/models",
        "/api/llm/models?provider=openai",
        "/api/llm/models/verified",
        "/api/llm/providers",
    ] {
        let response = server.fetch(path).await;
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(response.headers()["content-type"], "application/json");
        response.json::<Value>().await.unwrap();
        for (known, status) in [(format!("\"x\", W/{tag}"), 304), ("\"x\"".to_owned(), 200)] {
            let request = server.request(Method::GET, path).header("if-none-match", known);
            let response = request.send().await.unwrap();
            let known = response.headers()["etag"].to_str().unwrap().to_owned();
            assert_eq!((response.status().as_u16(), known), (status, tag.clone()));
            assert_eq!(response.bytes().await.unwrap().is_empty(), status == 304);
        }
        tags.push(tag);
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "each has a tag of its own");
}
