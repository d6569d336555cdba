//! Forgets old bash events of sandboxes that have no worker to do so.
//!
//! It writes as the incarnation that the sandbox had last, and fences the log again as that one would: what an older one
//! still has to say is refused as before. A worker that starts meanwhile is a newer incarnation; where both write, one of
//! them finds that the log has changed, and the worker goes on from there.

use std::sync::Arc;
use std::time::Duration;

use ports::log::{LogWriter, Loss, Pages, Trouble};
use ports::{Bucket, EventLog, Kv, Record, Result};
use readmodel::vital::contained;
use types::bash::BashEvent;
use types::buckets::{ALLOCATIONS, LEASES};
use types::placement::{Allocation, Lease};
use types::{Epoch, LogId, SandboxId, Seq, time};

/// Between two looks: half of the time for which events are kept, and not all the time.
const SHORTEST_PAUSE: Duration = Duration::from_secs(600);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3_600);
/// Records that are looked at at once.
const PAGE: usize = 16;

/// Forgets events older than `retention` now and then. Never returns.
pub async fn keep_forgetting(log: Arc<dyn EventLog>, kv: &dyn Kv, retention: Duration) {
    loop {
        let before = time::utc_ago(retention);
        if let Some(Err(error)) = contained("forgetting old bash events", forget(&log, kv, &before)).await {
            tracing::warn!(%error, "it cannot be found out which sandboxes have no worker");
        }
        tokio::time::sleep((retention / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
    }
}

async fn forget(log: &Arc<dyn EventLog>, kv: &dyn Kv, before: &str) -> Result<()> {
    let allocations = Bucket::<Allocation>::new(kv, ALLOCATIONS).list().await?;
    let leases = Bucket::<Lease>::new(kv, LEASES).list().await?;
    for (key, allocation) in allocations {
        let (Some(sandbox), Ok(allocation)) = (SandboxId::parse(&key), allocation) else { continue };
        let Allocation { epoch, instance, .. } = allocation.value;
        if instance.is_empty()
            && !leases.contains_key(&key)
            && let Err(error) = forget_in(log, &sandbox, epoch, before).await
        {
            tracing::warn!(sandbox.id = %sandbox, %error, "old bash events are kept for now");
        }
    }
    Ok(())
}

async fn forget_in(log: &Arc<dyn EventLog>, sandbox: &SandboxId, epoch: Epoch, before: &str) -> Result<()> {
    for scope in log.bash_logs(sandbox).await? {
        let id = LogId::bash(sandbox, scope);
        if !begins_before(log.as_ref(), &id, before).await? {
            continue;
        }
        match shorten(log, id, epoch, before).await {
            // A worker is there, and does it itself.
            Ok(()) | Err(Trouble::Lost(Loss::Fenced | Loss::Changed)) => {}
            Err(Trouble::NotNow(error) | Trouble::Lost(Loss::Refused(error))) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the first event is older: most logs need not be read any further.
async fn begins_before(log: &dyn EventLog, id: &LogId, before: &str) -> Result<bool> {
    let mut pages = Pages::new(log, id, Seq::ZERO, PAGE);
    while let Some(page) = pages.next().await? {
        if let Some(event) = page.iter().find_map(event_of) {
            return Ok(event.timestamp() < before);
        }
    }
    Ok(false)
}

async fn shorten(
    log: &Arc<dyn EventLog>,
    id: LogId,
    epoch: Epoch,
    before: &str,
) -> std::result::Result<(), Trouble> {
    let mut first_kept = None;
    let find = |record: &Record| {
        if first_kept.is_none() && event_of(record).is_some_and(|event| event.timestamp() >= before) {
            first_kept = Some(record.seq);
        }
    };
    let mut writer = LogWriter::open(log.clone(), id, epoch, find).await?;
    if writer.tail() == Seq::ZERO {
        // It was removed since: a fence would make it anew.
        return Ok(());
    }
    writer.drop_front(first_kept).await
}

/// `None` for what a writer notes for itself.
fn event_of(record: &Record) -> Option<BashEvent> {
    serde_json::from_slice(&record.payload).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ports::{Expect, Ports};
    use serde_json::{Value, json};
    use types::BashScope;
    use types::log::LogRecord;

    use super::*;

    const BEFORE: &str = "2026-11-23T00:00:05.000000Z";

    fn event(second: u32) -> Bytes {
        let stamp = format!("2026-11-23T00:00:{second:02}.000000Z");
        json!({"kind": "BashCommand", "id": second.to_string(), "timestamp": stamp, "command": "x", "cwd": null,
            "timeout": 1})
        .to_string()
        .into()
    }

    async fn ids(ports: &Ports, log: &LogId) -> Vec<Value> {
        let records = ports.log.read_all(log, Seq::ZERO).await.unwrap();
        let events = records.iter().filter(|record| !LogRecord::is_control(&record.payload));
        events.map(|event| serde_json::from_slice::<Value>(&event.payload).unwrap()["id"].clone()).collect()
    }

    #[tokio::test]
    async fn old_events_of_sandboxes_without_a_worker_are_forgotten_and_older_workers_stay_fenced_off() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let put = async |bucket, sandbox: &str, value: Value| {
            ports.kv.put(bucket, sandbox, value.to_string().into(), Expect::Anything).await.unwrap();
        };
        let mut logs = Vec::new();
        for (name, instance) in [("asleep", ""), ("awake", "unit"), ("leased", ""), ("young", "")] {
            let sandbox = SandboxId::parse(name).unwrap();
            let log = LogId::bash(&sandbox, BashScope::Sandbox);
            put(ALLOCATIONS, name, json!({"epoch": 2, "unit": instance})).await;
            let mut writer = LogWriter::open(ports.log.clone(), log.clone(), Epoch(2), |_| {}).await.unwrap();
            let seconds = if name == "young" { 5..9 } else { 1..9 };
            writer.store(&writer.batch(seconds.map(event).collect()).unwrap()).await.unwrap();
            logs.push(log);
        }
        put(LEASES, "leased", json!({"epoch": 2, "since": "", "idle_seconds": 0})).await;

        let tail_of_young = ports.log.tail(&logs[3]).await.unwrap();
        for _ in 0..2 {
            forget(&ports.log, ports.kv.as_ref(), BEFORE).await.unwrap();
        }
        let kept = |from: u32| (from..9).map(|second| json!(second.to_string())).collect::<Vec<_>>();
        for (log, from) in logs.iter().zip([5, 1, 1, 5]) {
            assert_eq!(ids(&ports, log).await, kept(from), "{log}");
        }
        assert_eq!(ports.log.tail(&logs[3]).await.unwrap(), tail_of_young, "nothing is written for nothing");
        let stale = LogWriter::open(ports.log.clone(), logs[0].clone(), Epoch(1), |_| {}).await;
        assert_eq!(stale.err(), Some(Trouble::Lost(Loss::Fenced)));

        forget(&ports.log, ports.kv.as_ref(), "2026-11-23T00:01:00.000000Z").await.unwrap();
        assert!(ids(&ports, &logs[0]).await.is_empty());
        let stale = LogWriter::open(ports.log.clone(), logs[0].clone(), Epoch(1), |_| {}).await;
        assert_eq!(stale.err(), Some(Trouble::Lost(Loss::Fenced)));
    }

    #[tokio::test]
    async fn a_log_that_was_removed_meanwhile_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let log = LogId::bash(&SandboxId::parse("gone").unwrap(), BashScope::Sandbox);
        shorten(&ports.log, log.clone(), Epoch(2), BEFORE).await.unwrap();
        assert_eq!(ports.log.tail(&log).await.unwrap(), Seq::ZERO);
    }
}
