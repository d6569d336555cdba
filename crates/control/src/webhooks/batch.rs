//! What is delivered at once: the events of a log behind a position, as many as a hook takes.

use bytes::Bytes;
use ports::{EventLog, Result};
use readmodel::history::{READ_RECORDS, Shown, shown, write_whole};
use types::{LogId, Seq};

/// How much of a log goes into one call.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub events: usize,
    pub bytes: usize,
}

/// Some events as a JSON array, and how far the log is told with them.
pub(super) struct Batch {
    pub body: Bytes,
    /// Of the log.
    pub count: usize,
    pub at: Seq,
    /// Events before the next one.
    pub events: u64,
}

/// The events behind `at`, and before them `first`, if that is given. A single one may have more bytes than the bounds say.
///
/// # Errors
/// Those of the log.
pub(super) async fn next(
    log: &dyn EventLog,
    id: &LogId,
    (at, events): (Seq, u64),
    bounds: Bounds,
    first: Option<&str>,
) -> Result<Batch> {
    let mut body = vec![b'['];
    body.extend_from_slice(first.unwrap_or_default().as_bytes());
    let mut batch = Batch { body: Bytes::new(), count: 0, at, events };
    let most = bounds.events.saturating_sub(usize::from(first.is_some())).max(1);
    'log: while batch.count < most {
        let page = log.read(id, batch.at, READ_RECORDS.min(most + 16)).await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            // What is full takes in what follows it and is nobody's business.
            if let Shown::Event { n, text } = shown(&record.payload) {
                if batch.count >= most {
                    break 'log;
                }
                let (before, is_first) = (body.len(), body.len() == 1);
                if !is_first {
                    body.push(b',');
                }
                let begin = body.len();
                if write_whole(&text, &mut body).is_err() {
                    // As the log has it: it is the reader who must see what it is.
                    body.truncate(begin);
                    body.extend_from_slice(&text);
                }
                if batch.count > 0 && body.len() >= bounds.bytes {
                    body.truncate(before);
                    break 'log;
                }
                batch.count += 1;
                batch.events = n.saturating_add(1);
            }
            batch.at = record.seq;
        }
    }
    body.push(b']');
    Ok(Batch { body: body.into(), ..batch })
}
