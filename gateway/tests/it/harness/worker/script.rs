//! What a worker does.

use std::sync::Arc;
use std::time::Duration;

use ports::rpc::Code;
use tokio::sync::Notify;
use types::calls::Live;
use types::worktree::Place;

#[derive(Clone)]
pub struct Script {
    /// From the answer to the run's start to its end.
    pub takes: Duration,
    /// Events of a run beside its state updates.
    pub events: usize,
    /// Characters in each of them.
    pub event_chars: usize,
    pub ends_as: &'static str,
    /// No run slot is free.
    pub busy: bool,
    /// Somebody else has said something, before a message is refused for that.
    pub others_speak: bool,
    /// Somebody else says something, just before the conversation is to be forgotten.
    pub others_speak_at_last: bool,
    /// Takes no message, for it is about to end.
    pub shuts_down: bool,
    /// Is gone when a message is stored, before it has answered.
    pub ends_early: bool,
    /// Somebody pauses before the first run.
    pub pauses: bool,
    /// Messages are not what an agent takes.
    pub refuses: bool,
    /// What is streamed before the run's events.
    pub streams: Vec<Live>,
    /// Bash commands begin and never end.
    pub endless: bool,
    /// Bash calls are done and answered once this is notified.
    pub held: Option<Arc<Notify>>,
    /// Bash calls are taken and never answered.
    pub mute: bool,
    /// Conversations do not stop writing when they are to be forgotten.
    pub clings: bool,
    /// Each working tree is made once this is notified.
    pub makes: Option<Arc<Notify>>,
    /// Each is removed once this is.
    pub removes: Option<Arc<Notify>>,
    /// None is made.
    pub makes_no_tree: Option<Code>,
    /// None is removed.
    pub removes_no_tree: Option<Code>,
    /// Places of working trees that were made long ago.
    pub old_trees: Vec<Place>,
    /// Of them.
    pub told_at_once: usize,
    /// Those of which not all is committed.
    pub unsaved: Vec<Place>,
    /// Those that cannot be removed.
    pub stuck: Vec<Place>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            takes: Duration::ZERO,
            events: 2,
            event_chars: 20,
            ends_as: "finished",
            busy: false,
            others_speak: false,
            shuts_down: false,
            others_speak_at_last: false,
            ends_early: false,
            pauses: false,
            refuses: false,
            streams: Vec::new(),
            endless: false,
            held: None,
            mute: false,
            clings: false,
            makes: None,
            removes: None,
            makes_no_tree: None,
            removes_no_tree: None,
            old_trees: Vec::new(),
            told_at_once: 1_000,
            unsaved: Vec::new(),
            stuck: Vec::new(),
        }
    }
}
