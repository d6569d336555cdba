//! Who listens to what: a tree of subject tokens.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use ports::Delivery;
use ports::feed::Feed;

pub struct Subscriber {
    pub id: u64,
    pub group: Option<Box<str>>,
    pub feed: Feed<Delivery>,
    /// When it last had its turn in its group.
    turn: AtomicU64,
}

impl Subscriber {
    pub fn new(id: u64, group: Option<&str>, feed: Feed<Delivery>) -> Self {
        Self { id, group: group.map(Box::from), feed, turn: AtomicU64::new(0) }
    }
}

/// The subscribers of patterns with a common beginning.
#[derive(Default)]
pub struct Tree {
    /// By the next token of the pattern, which may be `*`.
    below: HashMap<Box<str>, Tree>,
    /// Patterns that end here.
    here: Vec<Subscriber>,
    /// Patterns that go on with a final `>`.
    rest: Vec<Subscriber>,
}

impl Tree {
    pub fn insert(&mut self, pattern: &str, subscriber: Subscriber) {
        let mut node = self;
        for token in pattern.split('.') {
            if token == ">" {
                node.rest.push(subscriber);
                return;
            }
            node = node.below.entry(token.into()).or_default();
        }
        node.here.push(subscriber);
    }

    pub fn remove(&mut self, pattern: &str, id: u64) {
        match pattern.split_once('.') {
            _ if pattern == ">" => self.rest.retain(|subscriber| subscriber.id != id),
            Some((token, rest)) => self.remove_below(token, |node| node.remove(rest, id)),
            None => self.remove_below(pattern, |node| node.here.retain(|subscriber| subscriber.id != id)),
        }
    }

    fn remove_below(&mut self, token: &str, remove: impl FnOnce(&mut Self)) {
        let Some(node) = self.below.get_mut(token) else { return };
        remove(node);
        if node.is_empty() {
            self.below.remove(token);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.below.is_empty() && self.here.is_empty() && self.rest.is_empty()
    }

    /// Everyone a message on `subject` goes to: each lone subscriber, and of each group the member whose turn
    /// is longest ago. `clock` numbers the turns.
    pub fn receivers(&self, subject: &str, clock: &AtomicU64) -> Vec<&Subscriber> {
        let mut matching = Vec::new();
        self.collect(Some(subject), &mut matching);
        let mut receivers = Vec::with_capacity(matching.len());
        let mut groups = BTreeMap::<&str, &Subscriber>::new();
        for subscriber in matching.into_iter().filter(|subscriber| !subscriber.feed.is_abandoned()) {
            let Some(group) = subscriber.group.as_deref() else {
                receivers.push(subscriber);
                continue;
            };
            let waits_longer = |other: &&Subscriber| {
                other.turn.load(Ordering::Relaxed) <= subscriber.turn.load(Ordering::Relaxed)
            };
            if !groups.get(group).is_some_and(waits_longer) {
                groups.insert(group, subscriber);
            }
        }
        for member in groups.into_values() {
            member.turn.store(clock.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            receivers.push(member);
        }
        receivers
    }

    fn collect<'tree>(&'tree self, subject: Option<&str>, found: &mut Vec<&'tree Subscriber>) {
        let Some(subject) = subject else {
            found.extend(&self.here);
            return;
        };
        found.extend(&self.rest);
        let (token, rest) = match subject.split_once('.') {
            Some((token, rest)) => (token, Some(rest)),
            None => (subject, None),
        };
        for node in [self.below.get(token), self.below.get("*")].into_iter().flatten() {
            node.collect(rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::feed::{Listener, feed};

    fn tree(patterns: &[(&str, Option<&str>)]) -> (Tree, Vec<Listener<Delivery>>) {
        let (mut tree, mut listeners) = (Tree::default(), Vec::new());
        for (id, (pattern, group)) in patterns.iter().enumerate() {
            let (feed, listener) = feed();
            tree.insert(pattern, Subscriber::new(id as u64, *group, feed));
            listeners.push(listener);
        }
        (tree, listeners)
    }

    fn reached(tree: &Tree, subject: &str, clock: &AtomicU64) -> Vec<u64> {
        let mut ids: Vec<u64> = tree.receivers(subject, clock).iter().map(|receiver| receiver.id).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn wildcards_match_one_token_or_all_that_follow() {
        let patterns = ["a.b", "a.*", "a.>", "*.b", ">", "a.b.c"].map(|pattern| (pattern, None));
        let (tree, _listeners) = tree(&patterns);
        let clock = AtomicU64::new(0);
        assert_eq!(reached(&tree, "a.b", &clock), [0, 1, 2, 3, 4]);
        assert_eq!(reached(&tree, "a", &clock), [4]);
        assert_eq!(reached(&tree, "a.b.c", &clock), [2, 4, 5]);
        assert_eq!(reached(&tree, "x.b", &clock), [3, 4]);
    }

    #[test]
    fn groups_take_turns_each_on_its_own() {
        let (tree, _listeners) =
            tree(&[("a", Some("g")), ("a", Some("g")), ("b", Some("h")), ("b", Some("h")), ("*", None)]);
        let clock = AtomicU64::new(0);
        let rounds: Vec<_> =
            (0..2).map(|_| (reached(&tree, "a", &clock), reached(&tree, "b", &clock))).collect();
        assert_eq!(rounds, [(vec![0, 4], vec![2, 4]), (vec![1, 4], vec![3, 4])]);
    }

    #[test]
    fn a_group_over_two_patterns_is_one_group() {
        let (tree, _listeners) = tree(&[("a.*", Some("g")), ("a.b", Some("g"))]);
        assert_eq!(reached(&tree, "a.b", &AtomicU64::new(0)).len(), 1);
    }

    #[test]
    fn nothing_is_left_of_those_who_went() {
        let patterns = ["a.b", "a.*", "a.>", ">", "a.b.c"];
        let (mut tree, _listeners) = tree(&patterns.map(|pattern| (pattern, None)));
        for (id, pattern) in patterns.iter().enumerate() {
            tree.remove(pattern, id as u64);
        }
        assert!(tree.is_empty());
    }
}
