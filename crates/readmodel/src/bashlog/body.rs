//! Pages of stored events as JSON text: the stored JSON is passed on as it is.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use ports::EventLog;
use types::LogId;

use super::query::Page;
use super::summary::EventSummary;

/// Bytes of one read, unless a single record has more.
const RUN: usize = 128 * 1024;

/// A page as JSON text, in parts.
pub struct PageText<S> {
    /// Bytes of all parts together.
    pub length: usize,
    pub parts: S,
}

/// `{"items": […], "next_page_id": …}`.
pub fn text_of(
    log: Arc<dyn EventLog>,
    id: &LogId,
    page: Page,
) -> PageText<impl Stream<Item = ports::Result<Bytes>> + Send + use<>> {
    let end = match page.next {
        Some(next) => format!("],\"next_page_id\":\"{}\"}}", next.simple()),
        None => "],\"next_page_id\":null}".to_owned(),
    };
    let head = Bytes::from_static(b"{\"items\":[");
    let commas = page.entries.len().saturating_sub(1);
    let records: usize = page.entries.iter().map(|entry| entry.len).sum();
    let length = head.len() + records + commas + end.len();
    let records = records_of(log, id.clone(), page.entries);
    let items = records.enumerate().flat_map(|(i, record)| stream::iter(with_comma(i, record)));
    let parts = stream::iter([Ok(head)]).chain(items).chain(stream::iter([Ok(Bytes::from(end))]));
    PageText { length, parts }
}

/// `[…]`: the records of `entries`, and `null` where there is none.
pub fn list_of(
    log: Arc<dyn EventLog>,
    id: &LogId,
    entries: Vec<Option<EventSummary>>,
) -> PageText<impl Stream<Item = ports::Result<Bytes>> + Send + use<>> {
    const NULL: Bytes = Bytes::from_static(b"null");
    let items: usize = entries.iter().map(|entry| entry.map_or(NULL.len(), |entry| entry.len)).sum();
    let length = 2 + items + entries.len().saturating_sub(1);
    let id = id.clone();
    let item = move |entry: Option<EventSummary>| {
        let (log, id) = (log.clone(), id.clone());
        async move {
            let Some(entry) = entry else { return Ok(NULL) };
            let read = read_run(log, id, vec![entry]).await?;
            read.into_iter().next().ok_or_else(cleared)
        }
    };
    let items = stream::iter(entries).then(item).enumerate();
    let items = items.flat_map(|(i, record)| stream::iter(with_comma(i, record)));
    let (begin, end) = (Bytes::from_static(b"["), Bytes::from_static(b"]"));
    PageText { length, parts: stream::iter([Ok(begin)]).chain(items).chain(stream::iter([Ok(end)])) }
}

/// The records of `entries`, read a few ahead.
pub fn records_of(
    log: Arc<dyn EventLog>,
    id: LogId,
    entries: Vec<EventSummary>,
) -> impl Stream<Item = ports::Result<Bytes>> + Send {
    let read = move |run: Vec<EventSummary>| read_run(log.clone(), id.clone(), run);
    stream::iter(runs(entries))
        .map(read)
        .buffered(2)
        .map_ok(|records| stream::iter(records).map(Ok))
        .try_flatten()
}

/// Entries that follow each other in the log are read together.
fn runs(entries: Vec<EventSummary>) -> Vec<Vec<EventSummary>> {
    let (mut runs, mut size): (Vec<Vec<EventSummary>>, usize) = (Vec::new(), 0);
    for entry in entries {
        size += entry.len;
        match runs.last_mut() {
            Some(run) if size <= RUN && run.last().is_some_and(|last| last.seq == entry.prev) => {
                run.push(entry)
            }
            _ => {
                size = entry.len;
                runs.push(vec![entry]);
            }
        }
    }
    runs
}

async fn read_run(log: Arc<dyn EventLog>, id: LogId, run: Vec<EventSummary>) -> ports::Result<Vec<Bytes>> {
    let mut records = Vec::with_capacity(run.len());
    while let Some(next) = run.get(records.len()) {
        let read = log.read(&id, next.prev, run.len() - records.len()).await?;
        for (wanted, read) in run.iter().skip(records.len()).zip(&read) {
            if read.seq != wanted.seq {
                return Err(cleared());
            }
        }
        if read.is_empty() {
            return Err(cleared());
        }
        records.extend(read.into_iter().map(|entry| entry.payload));
    }
    Ok(records)
}

/// What was looked up is not what the log has now; [`super::unless_cleared`] looks again.
pub(super) fn cleared() -> ports::Error {
    ports::Error::Conflict { tail: None }
}

fn with_comma(index: usize, record: ports::Result<Bytes>) -> Vec<ports::Result<Bytes>> {
    let comma = (index > 0).then(|| Ok(Bytes::from_static(b",")));
    comma.into_iter().chain([record]).collect()
}
