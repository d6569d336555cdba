//! What the index does at start.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use ports::rpc::{self, Code};
use ports::{Error, KvEntry, subjects};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::calls::{Command, CommandDone, ConversationCall};
use types::conversation::{Projection, Status};

use super::entry::Entry;
use super::follow::PARALLEL_READS;
use super::save::Saved;
use super::{CONVERSATIONS, Index, PROJECTIONS, records};

/// Records decoded by one task.
const CHUNK: usize = 250;

/// Workers may start after the gateway.
const WORKER_PATIENCE: Duration = Duration::from_secs(60);

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

fn decode_chunk(chunk: &[(String, KvEntry)], saved: &HashMap<String, KvEntry>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(chunk.len());
    for (key, stored) in chunk {
        match records::decode(&stored.value) {
            Ok((record, agent)) => {
                let projection = saved_projection(saved.get(key), &record.created_at);
                entries.push(Entry::new(record, agent, stored.revision, projection));
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

async fn load_one(index: &Index, entry: Entry) -> ports::Result<()> {
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

impl Index {
    /// Nobody runs what the logs say is running at start: the process that did is gone. The workers close it.
    pub fn wake_cut_off(&self, tasks: &TaskTracker, drain: &CancellationToken) {
        let entries = self.directory().all();
        let cut_off: Vec<_> = entries.into_iter().filter(|entry| entry.status() == Status::Running).collect();
        if cut_off.is_empty() {
            return;
        }
        let index = self.clone();
        let waking = async move {
            for entry in cut_off {
                wake(&index, &entry).await;
            }
        };
        tasks.spawn(drain.clone().run_until_cancelled_owned(waking));
    }
}

async fn wake(index: &Index, entry: &Arc<Entry>) {
    let give_up = tokio::time::Instant::now() + WORKER_PATIENCE;
    let subject = subjects::command(&entry.log.sandbox, "conversation");
    let call = ConversationCall { conversation: entry.id, command: Command::Wake {} };
    loop {
        let deadline = Duration::from_secs(30);
        let bus = &*index.0.ports.bus;
        match rpc::call::<_, CommandDone>(bus, &subject, &call, bytes::Bytes::new(), deadline).await {
            Ok(_) => return,
            Err(fault) if fault.code == Code::Unavailable && tokio::time::Instant::now() < give_up => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(fault) => {
                tracing::warn!(conversation.id = %entry.id, error = %fault, "a run that was cut off is not closed");
                return;
            }
        }
    }
}
