//! Which log it is: one that was removed and is written anew has the same name, and soon the same positions.

use ports::{EventLog, Result};
use readmodel::history::{Shown, shown};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use types::{LogId, Seq, hex};

const READ: usize = 16;
/// Records that are looked through for an event.
const MOST: usize = 16 * READ;

/// A digest of the first event of a log, as events have ids of their own; none where there is none (yet).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Life(Option<String>);

impl Life {
    /// # Errors
    /// Those of the log.
    pub async fn of(log: &dyn EventLog, id: &LogId) -> Result<Self> {
        let (mut at, mut read) = (Seq::ZERO, 0);
        while read < MOST {
            let page = log.read(id, at, READ).await?;
            let Some(last) = page.last() else { break };
            (at, read) = (last.seq, read + page.len());
            let first = page.iter().find_map(|record| match shown(&record.payload) {
                Shown::Event { text, .. } => Some(Sha256::digest(&text)),
                _ => None,
            });
            if let Some(digest) = first {
                return Ok(Self(Some(hex(digest.get(..8).unwrap_or_default()))));
            }
        }
        Ok(Self::default())
    }

    /// Whether a log that had events of this life is another one by now.
    pub fn is_over(&self, now: &Self) -> bool {
        self.0.is_some() && self != now
    }
}
