//! Several gateways on the same stores: what one has told its client, another does not call unknown.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use ports::doubles::KvDouble;
use ports::{Changes, Kv, Ports, Result};
use serde_json::json;
use types::buckets::CONVERSATIONS;

use crate::harness::{Gateway, Server, config, start};

/// Tells nobody of conversations.
struct Untold(Arc<dyn Kv>);

#[async_trait]
impl KvDouble for Untold {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.0.as_ref())
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        if bucket == CONVERSATIONS {
            return Ok(stream::pending().boxed());
        }
        self.0.watch(bucket).await
    }
}

async fn untold(server: &Server) -> Gateway {
    let ports = Ports { kv: Arc::new(Untold(server.ports.kv.clone())), ..server.ports.clone() };
    Gateway::start(ports, config()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_read_where_nobody_has_told_of_it() {
    let server = start().await;
    let other = untold(&server).await;
    for what in ["", "/why", "/events/count", "/events/search"] {
        let id = server.create().await;
        let (status, answer) = other.get(&format!("/api/conversations/{id}{what}")).await;
        assert_eq!(status, 200, "{what}: {answer}");
    }
    let id = server.create().await;
    let (_, batch) = other.get(&format!("/api/conversations?ids={id}")).await;
    assert_eq!(batch[0]["id"], json!(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_spoken_to_changed_and_deleted_where_nobody_has_told_of_it() {
    let server = start().await;
    let other = untold(&server).await;
    let (spoken, changed, gone) = (server.create().await, server.create().await, server.create().await);
    assert_eq!(other.say(&spoken, "hello", false).await.0, 200);
    let policy = json!({"policy": {"kind": "AlwaysConfirm"}});
    let path = format!("/api/conversations/{changed}/confirmation_policy");
    assert_eq!(other.post(&path, policy).await.0, 200);
    assert_eq!(other.delete(&format!("/api/conversations/{gone}")).await.0, 200);
    assert_eq!(other.get(&format!("/api/conversations/{gone}")).await.0, 404);
}
