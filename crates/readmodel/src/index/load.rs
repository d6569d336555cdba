//! What the index does at start.

use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use ports::{Change, Error, Kv, KvEntry};
use types::ConversationId;
use types::conversation::Projection;

use super::agent_text::SharedTexts;
use super::conversation::ConversationState;
use super::follow::PARALLEL_READS;
use super::records::Sighting;
use super::save::Saved;
use super::{CONVERSATIONS, Index, PROJECTIONS};

/// Records decoded by one task, and the tasks that decode at the same time.
const CHUNK: usize = 250;
const DECODERS: usize = 4;

/// Of a bucket only some records are held as they were stored, and what is kept of each. What changes meanwhile is heard
/// of by the subscriptions that were made before. A record may come more than once, and one that is deleted before that is said:
/// of those the store is asked once more in the end, since nobody tells of what was so before.
pub(super) async fn all(index: &Index) -> ports::Result<()> {
    let kv = index.0.ports.kv.as_ref();
    let saved = Arc::new(saved(kv).await?);
    let mut seen = HashSet::new();
    let again = Mutex::new(HashSet::new());
    let note = |change: &Change| {
        let (Change::Put { key, .. } | Change::Deleted { key }) = change else { return };
        let Ok(id) = ConversationId::from_str(key) else { return };
        if !seen.insert(id) {
            again.lock().insert(id);
        }
    };
    let records = kv.scan(CONVERSATIONS).inspect_ok(note).try_filter_map(|change| ready(Ok(put(change))));
    let decoded = records.try_chunks(CHUNK).map_err(|cut_off| cut_off.1).map_ok(|chunk| {
        let (saved, texts) = (saved.clone(), index.0.texts.clone());
        let decoding = tokio::task::spawn_blocking(move || decode_chunk(&chunk, &saved, &texts));
        async { decoding.await.map_err(|error| Error::Internal(error.to_string())) }
    });
    let load = async |entry| load_one(index, entry).await;
    decoded
        .try_buffered(DECODERS)
        .try_for_each(async |entries| {
            stream::iter(entries).map(Ok).try_for_each_concurrent(PARALLEL_READS, load).await
        })
        .await?;
    let again = again.into_inner();
    stream::iter(again).map(Ok).try_for_each_concurrent(PARALLEL_READS, |id| index.refresh(id)).await
}

async fn saved(kv: &dyn Kv) -> ports::Result<HashMap<String, Saved>> {
    let saved = kv.scan(PROJECTIONS).try_filter_map(|change| ready(Ok(put(change))));
    let decoded = saved.try_filter_map(async |(key, stored)| {
        Ok(serde_json::from_slice(&stored.value).ok().map(|saved| (key, saved)))
    });
    decoded.try_collect().await
}

fn put(change: Change) -> Option<(String, KvEntry)> {
    match change {
        Change::Put { key, entry } => Some((key, entry)),
        Change::Deleted { .. } | Change::Lagged => None,
    }
}

fn decode_chunk(
    chunk: &[(String, KvEntry)],
    saved: &HashMap<String, Saved>,
    texts: &SharedTexts,
) -> Vec<ConversationState> {
    let mut entries = Vec::with_capacity(chunk.len());
    for (key, stored) in chunk {
        match Sighting::read(stored) {
            Ok(seen) => {
                let projection = saved_projection(saved.get(key), &seen.record.created_at);
                entries.push(ConversationState::new(seen, projection, texts.clone()));
            }
            Err(error) => {
                tracing::error!(key, %error, "a conversation is left out: its record cannot be read")
            }
        }
    }
    entries
}

fn saved_projection(saved: Option<&Saved>, created_at: &str) -> Projection {
    saved.and_then(|saved| saved.of(created_at)).cloned().unwrap_or_default()
}

async fn load_one(index: &Index, entry: ConversationState) -> ports::Result<()> {
    let tail = index.0.ports.log.tail(&entry.log).await?;
    if tail < entry.seq() {
        entry.followed.restart();
    }
    let entry = Arc::new(entry);
    if tail > entry.seq() {
        index.catch_up_or_log(&entry).await;
    }
    index.directory_mut().insert(entry);
    Ok(())
}
