//! What outlives an actor, for the next one of the same conversation.
//!
//! An actor that has nothing to do leaves the registry soon, so that a worker with thousands of conversations has
//! tasks, mailboxes and configurations only of those that do something. Two things may stay in its place, each for
//! its own time:
//!
//! - **The shell**, with the values that it may print, for as long as `shell_idle` says, or a program runs in it.
//! - **The memory**: the fold of the log. Reading a long log again for each message would make a message cost as much
//!   as all that was said before it. So the memory of a conversation that is long, by its events or by its bytes, stays
//!   for `remembered_for`, and all memories together take no more than `remembered_bytes`: those that rested longest go
//!   first. Short logs are read again instead, which takes no longer than finding their memory would be worth.
//!
//! A memory is never believed blindly. The record is read anew each time, so that what the gateway changed in it counts;
//! where it says that the conversation was made at another time, the memory is of one that was deleted, and is dropped.
//! Whoever takes it up asks the store where the log ends: what came after it is folded in, and where the log is shorter,
//! so another one, it is dropped too, and the log is read from its beginning.
//!
//! Everything here is lost with the worker, and nothing of it is needed: it only saves reading.

use std::sync::Arc;
use std::time::Instant;

use tools::ToolSet;
use types::Life;

use super::replay::Replay;
use super::secrets::Secrets;
use crate::activity::Busy;

/// Conversations of fewer events are remembered, too, from so many bytes on.
pub(super) const HEAVY: usize = 256 << 10;

/// A shell that is still there, and the values it may print.
pub(super) struct KeptShell {
    pub(super) tools: Arc<ToolSet>,
    pub(super) secrets: Arc<Secrets>,
    /// Whether those of servers are among the tools, as far as there are any.
    pub(super) is_equipped: bool,
    /// A program was still running in the shell when the actor went.
    pub(super) _busy: Option<Busy>,
}

/// The fold of a log, and about how many bytes it takes.
pub(super) struct Memory {
    pub(super) life: Life,
    pub(super) replay: Box<Replay>,
    pub(super) weight: usize,
}

pub(super) struct Dormant {
    pub(super) kept: Option<KeptShell>,
    pub(super) memory: Option<Memory>,
    pub(super) since: Instant,
}

impl Dormant {
    pub(super) fn new(kept: Option<KeptShell>, memory: Option<Memory>) -> Self {
        Self { kept, memory, since: Instant::now() }
    }

    pub(super) fn nothing() -> Self {
        Self::new(None, None)
    }

    pub(super) fn shell(kept: Option<KeptShell>) -> Self {
        Self::new(kept, None)
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.kept.is_none() && self.memory.is_none()
    }

    pub(super) fn weight(&self) -> usize {
        self.memory.as_ref().map_or(0, |memory| memory.weight)
    }
}

/// Takes memories away, those that rested longest first, until the others take no more than `limit` bytes.
pub(super) fn make_room<'a>(all: impl Iterator<Item = &'a mut Dormant>, limit: usize) -> Vec<Memory> {
    let mut holding: Vec<&mut Dormant> = all.filter(|dormant| dormant.memory.is_some()).collect();
    let mut held: usize = holding.iter().map(|dormant| dormant.weight()).sum();
    if held <= limit {
        return Vec::new();
    }
    holding.sort_by_key(|dormant| dormant.since);
    let mut taken = Vec::new();
    for dormant in holding {
        if held <= limit {
            break;
        }
        held -= dormant.weight();
        taken.extend(dormant.memory.take());
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use types::ConversationId;

    use super::*;

    #[test]
    fn the_memories_that_rested_longest_go_first_and_only_as_many_as_must() {
        let now = Instant::now();
        let resting = |seconds: u64, weight| {
            let life = Life::whichever(ConversationId::random());
            let memory = Memory { life, replay: Box::default(), weight };
            Dormant { since: now + Duration::from_secs(seconds), ..Dormant::new(None, Some(memory)) }
        };
        let mut all = [resting(3, 40), resting(1, 40), resting(2, 40), Dormant::nothing()];
        assert!(make_room(all.iter_mut(), 120).is_empty());
        assert_eq!(make_room(all.iter_mut(), 80).len(), 1);
        assert_eq!(all.each_ref().map(Dormant::weight), [40, 0, 40, 0]);
        assert_eq!(make_room(all.iter_mut(), 40).len(), 1);
        assert_eq!(all.each_ref().map(Dormant::weight), [40, 0, 0, 0]);
    }
}
