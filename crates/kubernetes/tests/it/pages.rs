//! Lists of many are read page by page, and those of few all at once.

use manyhands_kubernetes::types::Pod;
use serde_json::json;

use super::server::Server;

/// A page with this pod; whether more come.
fn page(name: &str, has_more: bool) -> String {
    let more = if has_more { "more" } else { "" };
    let list = json!({
        "apiVersion": "v1", "kind": "PodList",
        "metadata": { "resourceVersion": "7", "continue": more },
        "items": [{ "metadata": { "name": name } }],
    });
    let body = list.to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn two_pages() -> Server {
    Server::answering(|before| Some(page(["a", "b"][before.min(1)], before == 0))).await
}

/// Ten thousand pods are some hundred megabytes.
#[tokio::test]
async fn of_a_page_only_what_is_kept_is_there_when_the_next_is_asked_for() {
    let server = two_pages().await;
    let pods = server.client().await.objects::<Pod>();
    let kept = pods.list_as("a=b", |pod| (pod.metadata.name.unwrap(), server.asked())).await.unwrap();
    assert_eq!(kept, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let [first, second] = server.requests().try_into().unwrap();
    assert!(first.contains("limit=") && second.contains("continue=more"), "{first} {second}");
}

/// Where there is a limit, servers read everything from their store.
#[tokio::test]
async fn few_are_asked_for_without_a_limit() {
    let server = two_pages().await;
    let few = server.client().await.objects::<Pod>().list_few("a=b").await.unwrap();
    assert_eq!(few.len(), 1);
    let [asked] = server.requests().try_into().unwrap();
    assert!(asked.contains("labelSelector=a%3Db") && !asked.contains("limit"), "{asked}");
}
