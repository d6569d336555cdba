//! Pages of the list of conversations, while that list changes.

use serde_json::Value;

use crate::harness::{Server, start};

async fn page(server: &Server, query: &str) -> (Vec<String>, Option<String>) {
    let (status, page) = server.get(&format!("/api/conversations/search?limit=2&{query}")).await;
    assert_eq!(status, 200, "{page}");
    let ids = page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
    (ids.collect(), page["next_page_id"].as_str().map(str::to_owned))
}

async fn five(server: &Server) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(server.create().await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pages_on_goes_on_where_the_next_one_was_deleted_meanwhile() {
    let server = start().await;
    let ids = five(&server).await;
    let (first, next) = page(&server, "sort_order=CREATED_AT").await;
    assert_eq!(first, ids[..2]);
    assert_eq!(server.delete(&format!("/api/conversations/{}", ids[2])).await.0, 200);
    let (second, end) = page(&server, &format!("sort_order=CREATED_AT&page_id={}", next.unwrap())).await;
    assert_eq!((&second[..], end), (&ids[3..], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pages_on_skips_none_where_the_next_one_has_moved_meanwhile() {
    let server = start().await;
    let ids = five(&server).await;
    let (first, next) = page(&server, "sort_order=UPDATED_AT").await;
    assert_eq!(first, ids[..2]);
    server.say(&ids[2], "hi", false).await;
    let (second, next) = page(&server, &format!("sort_order=UPDATED_AT&page_id={}", next.unwrap())).await;
    assert_eq!(second, ids[3..]);
    let (third, end) = page(&server, &format!("sort_order=UPDATED_AT&page_id={}", next.unwrap())).await;
    assert_eq!((third, end), (vec![ids[2].clone()], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_may_begin_at_an_id_and_what_names_nothing_begins_at_the_start() {
    let server = start().await;
    let ids = five(&server).await;
    let from = |text: &str| format!("sort_order=CREATED_AT&page_id={text}");
    let hex = ids[3].replace('-', "");
    assert_eq!(page(&server, &from(&hex)).await.0, ids[3..]);
    let endless = format!("{hex}.{}", "9".repeat(10_000));
    for text in ["deadbeef", "", ".", &endless] {
        assert_eq!(page(&server, &from(text)).await.0, ids[..2], "{text}");
    }
    let (_, answer): (u16, Value) = server.get("/api/conversations/search?page_id=x.y.z").await;
    assert_eq!(answer["items"].as_array().unwrap().len(), 5);
}
