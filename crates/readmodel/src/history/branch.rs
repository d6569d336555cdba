//! The branch that a conversation goes on with, for logs in which HEAD was moved: found in what is kept of its log.

use ports::Result;
use types::Seq;
use types::conversation::Projection;

use super::History;
use crate::index::ConversationState;

/// The events on the way from the first one of a log to one of them, by where they are: the first and the last of each
/// stretch in which no event is on another branch. So it is small, however long the log is.
#[derive(Clone, Debug, Default)]
pub struct Branch(Vec<(Seq, Seq)>);

impl Branch {
    /// Whether the event at this position is on it.
    #[must_use]
    pub fn contains(&self, seq: Seq) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= seq);
        let stretch = behind.checked_sub(1).and_then(|at| self.0.get(at));
        stretch.is_some_and(|(_, last)| seq <= *last)
    }

    /// The event before all that were added, from the last one on. `is_next`: no other event is between.
    pub(super) fn add_before(&mut self, seq: Seq, is_next: bool) {
        match self.0.last_mut() {
            Some((first, _)) if is_next => *first = seq,
            _ => self.0.push((seq, seq)),
        }
    }

    pub(super) fn in_order(mut self) -> Self {
        self.0.reverse();
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl History {
    /// The events that the agent knows of; `None`: all of them, since HEAD was never moved.
    ///
    /// # Errors
    /// As [`History::branch_of`].
    pub async fn branch(&self, entry: &ConversationState) -> Result<Option<Branch>> {
        let head = |projection: &Projection| projection.navigated.then(|| projection.leaf_event_id.clone());
        match entry.with_projection(head) {
            None => Ok(None),
            Some(None) => Ok(Some(Branch::default())),
            Some(Some(head)) => Ok(Some(self.branch_of(entry, &head).await?.unwrap_or_default())),
        }
    }

    /// The events on the branch of `head`; `None`: the log has no such event.
    ///
    /// # Errors
    /// `Unavailable` where the log cannot be read, or takes long to be. What was read of it then is not read again.
    pub async fn branch_of(&self, entry: &ConversationState, head: &str) -> Result<Option<Branch>> {
        Ok(self.offsets(entry).await?.branch(head))
    }
}
