//! Reading chosen events out of a log with few reads.

use bytes::Bytes;
use ports::{EventLog, Result};
use types::LogId;

use super::offsets::RecordOffset;
use super::record::{Shown, shown};

/// Records asked for at a time when a log is read through.
pub const READ_RECORDS: usize = 256;

/// Unwanted records between two wanted ones that are rather read over than sought over.
const BRIDGED: u32 = 16;

/// The JSON texts of the events at `places`, which ascend.
pub(super) async fn events(log: &dyn EventLog, id: &LogId, places: &[RecordOffset]) -> Result<Vec<Bytes>> {
    let mut texts = Vec::with_capacity(places.len());
    for stretch in places.chunk_by(|a, b| b.ordinal - a.ordinal <= BRIDGED) {
        read_stretch(log, id, stretch, &mut texts).await?;
    }
    Ok(texts)
}

async fn read_stretch(
    log: &dyn EventLog,
    id: &LogId,
    stretch: &[RecordOffset],
    texts: &mut Vec<Bytes>,
) -> Result<()> {
    let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { return Ok(()) };
    let mut wanted = stretch.iter().peekable();
    let mut at = first.prev;
    let mut left = (last.ordinal - first.ordinal) as usize + 1;
    while wanted.peek().is_some() {
        let page = log.read(id, at, left).await?;
        let Some(newest) = page.last() else { return Ok(()) };
        at = newest.seq;
        left = left.saturating_sub(page.len()).max(1);
        for record in &page {
            if wanted.next_if(|place| place.seq == record.seq).is_none() {
                continue;
            }
            if let Shown::Event { text, .. } = shown(&record.payload) {
                // A copy: what it is a part of may be far larger, and would be kept for as long.
                texts.push(Bytes::copy_from_slice(&text));
            }
        }
    }
    Ok(())
}
