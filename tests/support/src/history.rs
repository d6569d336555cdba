//! Whether a conversation's history is what it must be: what was acknowledged is there, once and in order.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// What was found wrong, over all that was counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub acknowledged: usize,
    pub lost: usize,
    pub doubled: usize,
    pub reordered: usize,
    /// Events whose parent is not the event before them.
    pub unchained: usize,
    /// Actions without a result, or with several.
    pub unpaired: usize,
}

impl Tally {
    /// Compares what was acknowledged, in that order, with what is stored.
    pub fn count(&mut self, acknowledged: &[String], stored: &[String]) {
        let places: Vec<_> =
            acknowledged.iter().map(|id| stored.iter().position(|other| other == id)).collect();
        self.acknowledged += acknowledged.len();
        self.lost += places.iter().filter(|place| place.is_none()).count();
        self.doubled += times(stored).filter(|n| *n > 1).count();
        self.reordered += places.windows(2).filter(|pair| pair[0] > pair[1]).count();
    }

    /// Looks at the events of a conversation at rest, from the first on.
    pub fn examine(&mut self, events: &[Value]) {
        let tree: Vec<_> = events.iter().filter(|e| e["kind"] != "ConversationStateUpdateEvent").collect();
        self.unchained += tree.windows(2).filter(|pair| pair[1]["parent_id"] != pair[0]["id"]).count();
        let (actions, others): (Vec<_>, Vec<_>) =
            tree.into_iter().partition(|event| event["kind"] == "ActionEvent");
        let results = |action: &&&Value| {
            others.iter().filter(|event| event["tool_call_id"] == action["tool_call_id"]).count()
        };
        self.unpaired += actions.iter().filter(|action| results(action) != 1).count();
    }

    #[must_use]
    pub fn is_clean(&self) -> bool {
        let Self { acknowledged: _, lost, doubled, reordered, unchained, unpaired } = *self;
        (lost, doubled, reordered, unchained, unpaired) == (0, 0, 0, 0, 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, lost, doubled, reordered, unchained, unpaired } = self;
        write!(f, "acknowledged {acknowledged}, lost {lost}, doubled {doubled}, reordered {reordered}")?;
        write!(f, ", out of the chain {unchained}, actions without one result {unpaired}")
    }
}

fn times(ids: &[String]) -> impl Iterator<Item = usize> {
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    ids.iter().for_each(|id| *times.entry(id).or_default() += 1);
    times.into_values()
}

/// Of a stored event.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn id_of(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}
