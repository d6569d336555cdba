//! Making events: ids, increasing times, the parent chain, and the effects of one call of the loop.

use types::conversation::Projection;
use types::event::{ROOT, Source};
use types::log::Control;
use types::time::just_after;
use types::{Event, EventBody, EventId};

use crate::protocol::{Effect, Env, LogItem};

/// Where the log ends.
pub struct Position {
    head: Option<EventId>,
    last_timestamp: Option<String>,
    empty: bool,
}

impl Position {
    pub fn of(projection: &Projection) -> Self {
        Self {
            head: projection.leaf_event_id.clone().map(EventId),
            last_timestamp: projection.last_timestamp.clone(),
            empty: projection.events == 0,
        }
    }

    pub fn note(&self, projection: &mut Projection) {
        projection.leaf_event_id = self.head.as_ref().map(|head| head.0.clone());
        projection.last_timestamp.clone_from(&self.last_timestamp);
    }

    /// The next tree event hangs below `head`; without one it is a root.
    pub fn move_to(&mut self, head: Option<EventId>) {
        self.head = head;
    }

    /// The next event of the log; the position moves behind it.
    pub fn next(&mut self, env: &mut dyn Env, id: EventId, source: Source, body: EventBody) -> Event {
        let event = Event { id, timestamp: self.timestamp(env), source, parent_id: self.parent(), body };
        self.last_timestamp = Some(event.timestamp.clone());
        self.empty = false;
        if event.is_tree_event() {
            self.head = Some(event.id.clone());
        }
        event
    }

    fn timestamp(&self, env: &mut dyn Env) -> String {
        let now = env.now();
        match &self.last_timestamp {
            Some(last) if now <= *last => just_after(last),
            _ => now,
        }
    }

    fn parent(&self) -> Option<String> {
        match &self.head {
            Some(head) => Some(head.0.clone()),
            None if self.empty => None,
            None => Some(ROOT.to_owned()),
        }
    }
}

/// The effects of one call, under construction. Neighbouring records go into one append.
pub struct Draft<'a> {
    pub env: &'a mut dyn Env,
    items: Vec<LogItem>,
    effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    pub fn new(env: &'a mut dyn Env) -> Self {
        Self { env, items: Vec::new(), effects: Vec::new() }
    }

    pub fn event(&mut self, event: Event) {
        self.items.push(LogItem::Event(event));
    }

    pub fn control(&mut self, control: Control) {
        self.items.push(LogItem::Control(control));
    }

    /// Adds an effect that may only be performed once all records so far are durable.
    pub fn effect(&mut self, effect: Effect) {
        self.cut();
        self.effects.push(effect);
    }

    pub fn finish(mut self) -> Vec<Effect> {
        self.cut();
        self.effects
    }

    /// What comes next goes into another append.
    pub fn cut(&mut self) {
        if !self.items.is_empty() {
            self.effects.push(Effect::Append(std::mem::take(&mut self.items)));
        }
    }
}
