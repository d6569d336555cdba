//! How much may be under way at once: in all, and for each subject, so that one caller cannot take all of it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Calls, and bytes of their parcels. What workers ask comes on a subject for each sandbox.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    all: Load,
    each: Load,
    /// Whether a subject leaves as much as it has.
    leaves: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    calls: usize,
    bytes: usize,
}

impl Limits {
    #[must_use]
    pub const fn new(calls: usize, bytes: usize) -> Self {
        Self { all: Load { calls, bytes }, each: Load { calls, bytes }, leaves: false }
    }

    /// With less for each subject.
    #[must_use]
    pub const fn for_each_subject(self, calls: usize, bytes: usize) -> Self {
        Self { each: Load { calls, bytes }, ..self }
    }

    /// With no more for a subject than what is left for all others then. So a few of them that give nothing back cannot have
    /// it all: each that comes has half of what it finds.
    #[must_use]
    pub const fn leaving_as_much(self) -> Self {
        Self { leaves: true, ..self }
    }
}

/// Who takes a part of it must hold the permit for as long as it lasts. Cheap to clone.
#[derive(Clone)]
pub struct Room {
    limits: Limits,
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    all: Load,
    each: HashMap<String, Load>,
}

/// One part of the room, given back when dropped.
pub struct Permit {
    room: Room,
    subject: String,
    bytes: usize,
}

impl Room {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, used: Arc::default() }
    }

    /// `None` when too much is under way.
    #[must_use]
    pub fn take(&self, subject: &str, bytes: usize) -> Option<Permit> {
        let mut used = self.used.lock();
        let own = used.each.get(subject).copied().unwrap_or_default();
        let (all, own) = (used.all.plus(bytes), own.plus(bytes));
        if !all.is_within(self.limits.all) || !own.is_within(self.limits.each) {
            return None;
        }
        if self.limits.leaves && !own.is_within(self.limits.all.without(all)) {
            return None;
        }
        used.all = all;
        used.each.insert(subject.to_owned(), own);
        Some(Permit { room: self.clone(), subject: subject.to_owned(), bytes })
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.lock().all.calls == 0
    }
}

impl Load {
    fn plus(self, bytes: usize) -> Self {
        Self { calls: self.calls.saturating_add(1), bytes: self.bytes.saturating_add(bytes) }
    }

    fn minus(self, bytes: usize) -> Self {
        Self { calls: self.calls.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    fn without(self, other: Self) -> Self {
        let calls = self.calls.saturating_sub(other.calls);
        Self { calls, bytes: self.bytes.saturating_sub(other.bytes) }
    }

    fn is_within(self, limit: Self) -> bool {
        self.calls <= limit.calls && self.bytes <= limit.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut used = self.room.used.lock();
        used.all = used.all.minus(self.bytes);
        let Some(own) = used.each.get_mut(&self.subject) else { return };
        *own = own.minus(self.bytes);
        if own.calls == 0 {
            used.each.remove(&self.subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_its_share_and_its_neighbours_have_theirs() {
        let room = Room::new(Limits::new(3, 100).for_each_subject(2, 60));
        let greedy = [room.take("a", 10).unwrap(), room.take("a", 10).unwrap()];
        assert!(room.take("a", 0).is_none(), "its calls are under way");
        assert!(room.take("b", 61).is_none(), "more bytes than one may have");
        let other = room.take("b", 60).unwrap();
        assert!(room.take("c", 0).is_none(), "all calls are under way");
        drop(greedy);
        assert!(room.take("c", 41).is_none(), "more bytes than there are left");
        drop((room.take("c", 40).unwrap(), other));
        assert!(room.used.lock().each.is_empty() && room.used.lock().all.calls == 0);
    }

    #[test]
    fn who_leaves_as_much_as_it_has_leaves_something_to_whoever_comes() {
        let room = Room::new(Limits::new(64, 64).leaving_as_much());
        let mut held = Vec::new();
        for (subject, calls) in [("a", 32), ("b", 16), ("c", 8), ("d", 4), ("e", 2)] {
            let before = held.len();
            held.extend(std::iter::from_fn(|| room.take(subject, 1)));
            assert_eq!(held.len() - before, calls, "{subject}");
        }
        held.truncate(32);
        assert!(room.take("f", 16).is_some(), "what is given back is there again");
    }
}
