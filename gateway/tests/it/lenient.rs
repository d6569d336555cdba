//! What means a number, a boolean or a time is taken for one.

use crate::harness::{create_body, start};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_and_booleans_are_taken_in_every_form_that_means_them() {
    let server = start().await;
    let mut body = create_body();
    (body["max_iterations"], body["stuck_detection"]) = (json!(5.0), json!("no"));
    let (status, made) = server.post("/api/conversations", body).await;
    assert_eq!((status, &made["max_iterations"]), (201, &json!(5)), "{made}");
    assert_eq!(made["stuck_detection"], false);
    let search = format!("/api/conversations/{}/events/search", made["id"].as_str().unwrap());
    for query in ["limit=5.0", "limit=%2B5", "timestamp__gte=1700000000", "timestamp__lt=1700000000.5"] {
        assert_eq!(server.get(&format!("{search}?{query}")).await.0, 200, "{query}");
    }
    assert_eq!(server.get(&format!("{search}?limit=5.5")).await.0, 422);
}
