//! The branch that a conversation goes on with, for logs in which HEAD was moved.

use ports::log::Pages;
use ports::{Error, Result};
use serde_json::value::RawValue;
use types::Seq;
use types::branch::{Branch, Tree};
use types::conversation::Projection;
use types::log::LogRecord;

use super::History;
use super::fetch::READ_RECORDS;
use crate::index::ConversationState;

/// Branches that are looked for at the same time.
pub(super) const AT_ONCE: usize = 2;

/// Events of a log of which it is known what they hang below: each takes some 50 bytes.
const MOST: usize = 1_000_000;

impl History {
    /// The events that the agent knows of; `None`: all of them, since HEAD was never moved.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn branch(&self, entry: &ConversationState) -> Result<Option<Branch>> {
        let head = |projection: &Projection| projection.navigated.then(|| projection.leaf_event_id.clone());
        let Some(head) = entry.with_projection(head) else { return Ok(None) };
        Ok(Some(self.branch_of(entry, head.as_deref()).await?.unwrap_or_default()))
    }

    /// The events on the branch of `head`; `None`: the log has no such event.
    ///
    /// # Errors
    /// `TooLarge` for a log of more events than are kept in memory. Those of the log.
    pub async fn branch_of(&self, entry: &ConversationState, head: Option<&str>) -> Result<Option<Branch>> {
        let _turn = self.branches.acquire().await.map_err(|error| Error::Internal(error.to_string()))?;
        let mut tree = Tree::default();
        let mut pages = Pages::new(self.log.as_ref(), &entry.log, Seq::ZERO, READ_RECORDS);
        while let Some(page) = pages.next().await? {
            if tree.len() > MOST {
                return Err(Error::TooLarge("there are too many events to look for a branch".to_owned()));
            }
            for record in page {
                if let Ok(LogRecord::Event { event, .. }) = LogRecord::<&RawValue>::decode_as(&record.payload)
                {
                    tree.read(event.get());
                }
            }
        }
        Ok(tree.branch(head))
    }
}
