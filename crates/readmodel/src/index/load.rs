//! What the index does at start.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use ports::{Error, KvEntry};
use types::conversation::Projection;

use super::conversation::ConversationState;
use super::follow::PARALLEL_READS;
use super::save::Saved;
use super::{CONVERSATIONS, Index, PROJECTIONS, records};

/// Records decoded by one task.
const CHUNK: usize = 250;

pub(super) async fn all(index: &Index) -> ports::Result<()> {
    let kv = &index.0.ports.kv;
    let (records, saved) = tokio::try_join!(kv.list(CONVERSATIONS), kv.list(PROJECTIONS))?;
    let saved: Arc<HashMap<_, _>> = Arc::new(saved.into_iter().collect());
    let mut decoding = Vec::new();
    for chunk in records.chunks(CHUNK) {
        let (chunk, saved) = (chunk.to_vec(), saved.clone());
        decoding.push(tokio::task::spawn_blocking(move || decode_chunk(&chunk, &saved)));
    }
    for decoded in decoding {
        let entries = decoded.await.map_err(|error| Error::Internal(error.to_string()))?;
        stream::iter(entries)
            .map(Ok)
            .try_for_each_concurrent(PARALLEL_READS, async |entry| load_one(index, entry).await)
            .await?;
    }
    Ok(())
}

fn decode_chunk(chunk: &[(String, KvEntry)], saved: &HashMap<String, KvEntry>) -> Vec<ConversationState> {
    let mut entries = Vec::with_capacity(chunk.len());
    for (key, stored) in chunk {
        match records::decode(&stored.value) {
            Ok((record, agent)) => {
                let projection = saved_projection(saved.get(key), &record.created_at);
                entries.push(ConversationState::new(record, agent, stored.revision, projection));
            }
            Err(error) => {
                tracing::error!(key, %error, "a conversation is left out: its record cannot be read")
            }
        }
    }
    entries
}

fn saved_projection(saved: Option<&KvEntry>, created_at: &str) -> Projection {
    let saved = saved.and_then(|saved| serde_json::from_slice::<Saved>(&saved.value).ok());
    saved.filter(|saved| saved.created_at == created_at).map(|saved| saved.projection).unwrap_or_default()
}

async fn load_one(index: &Index, entry: ConversationState) -> ports::Result<()> {
    let tail = index.0.ports.log.tail(&entry.log).await?;
    if tail < entry.seq() {
        entry.forget_projection();
    }
    let entry = Arc::new(entry);
    if tail > entry.seq() {
        index.catch_up_or_log(&entry).await;
    }
    index.directory_mut().insert(entry);
    Ok(())
}
