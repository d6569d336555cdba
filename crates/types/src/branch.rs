//! Which events of a log are on the way from its first one to HEAD: those are what an agent knows of it.
//!
//! Events hang below each other. As long as HEAD is only moved by what is added, all of them are on one branch; where it
//! was moved back, what is added next begins another, and what was left stays in the log.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};

use serde::Deserialize;
use uuid::Uuid;

use crate::event::ROOT;

/// The events of a log by what each hangs below. It has the same few bytes for every event, whatever a worker calls it.
#[derive(Debug, Default)]
pub struct Tree {
    parents: HashMap<Key, Option<Key>>,
    last: Option<Key>,
}

/// The events on the way to one of them, itself included.
#[derive(Debug, Default)]
pub struct Branch(HashSet<Key>);

/// An id, or the digest of one that is no UUID. Who makes two ids of one digest deceives nobody but himself: each log is
/// compared with itself.
pub(crate) type Key = u128;

impl Tree {
    /// Takes in the next event of the log, as it is stored. What has no id is no event.
    pub fn read(&mut self, event: &str) {
        #[derive(Deserialize)]
        struct Link {
            id: String,
            #[serde(default)]
            parent_id: Option<String>,
        }
        if let Ok(Link { id, parent_id }) = serde_json::from_str(event) {
            self.add(&id, parent_id.as_deref());
        }
    }

    /// Takes in the next event of the log. One that names no parent hangs below the event before it, as all did before
    /// there were branches.
    pub fn add(&mut self, id: &str, parent: Option<&str>) {
        let id = key(id);
        let parent = match parent {
            Some(ROOT) => None,
            Some(parent) => Some(key(parent)),
            None => self.last,
        };
        self.parents.entry(id).or_insert(parent);
        self.last = Some(id);
    }

    /// The branch that ends with `head`; without one, that of an empty tree. `None`: no event is called so.
    #[must_use]
    pub fn branch(&self, head: Option<&str>) -> Option<Branch> {
        let mut next = head.map(key);
        if next.is_some_and(|head| !self.parents.contains_key(&head)) {
            return None;
        }
        let mut branch = HashSet::new();
        // One that was met before closes a circle, which no honest log has.
        while let Some(id) = next
            && branch.insert(id)
        {
            next = self.parents.get(&id).copied().flatten();
        }
        Some(Branch(branch))
    }
}

impl Branch {
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains(&key(id))
    }
}

pub(crate) fn key(id: &str) -> Key {
    let mut buffer = Uuid::encode_buffer();
    match Uuid::parse_str(id) {
        Ok(uuid) if *uuid.hyphenated().encode_lower(&mut buffer) == *id => uuid.as_u128(),
        _ => (u128::from(digest(0, id)) << 64) | u128::from(digest(1, id)),
    }
}

fn digest(salt: u8, id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(salt);
    hasher.write(id.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(events: &[(&str, Option<&str>)]) -> Tree {
        let mut tree = Tree::default();
        events.iter().for_each(|(id, parent)| tree.add(id, *parent));
        tree
    }

    fn on(tree: &Tree, head: Option<&str>, of: &[&'static str]) -> Option<Vec<&'static str>> {
        let branch = tree.branch(head)?;
        Some(of.iter().copied().filter(|id| branch.contains(id)).collect())
    }

    #[test]
    fn a_branch_has_what_is_above_its_head_and_nothing_else() {
        let tree =
            tree(&[("a", None), ("b", Some("a")), ("c", Some("b")), ("d", Some("a")), ("e", Some(ROOT))]);
        let all = ["a", "b", "c", "d", "e"];
        assert_eq!(on(&tree, Some("c"), &all).unwrap(), ["a", "b", "c"]);
        assert_eq!(on(&tree, Some("d"), &all).unwrap(), ["a", "d"]);
        assert_eq!(on(&tree, Some("e"), &all).unwrap(), ["e"]);
        assert_eq!(on(&tree, None, &all).unwrap(), [""; 0]);
        assert_eq!(on(&tree, Some("z"), &all), None);
    }

    #[test]
    fn events_without_parents_hang_below_each_other_in_order() {
        let tree = tree(&[("a", None), ("b", None), ("c", None)]);
        assert_eq!(on(&tree, Some("b"), &["a", "b", "c"]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_circle_and_a_parent_that_is_not_there_end_a_branch() {
        let tree = tree(&[("a", Some("b")), ("b", Some("a")), ("c", Some("nowhere"))]);
        assert_eq!(on(&tree, Some("a"), &["a", "b", "c"]).unwrap(), ["a", "b"]);
        assert_eq!(on(&tree, Some("c"), &["a", "b", "c"]).unwrap(), ["c"]);
    }

    #[test]
    fn events_are_told_apart_whatever_they_are_called() {
        let upper = "00112233-4455-6677-8899-AABBCCDDEEFF";
        let lower = upper.to_lowercase();
        let long = "x".repeat(1 << 20);
        let mut tree = Tree::default();
        tree.read(&format!(r#"{{"id":"{lower}","kind":"MessageEvent"}}"#));
        tree.read(&format!(r#"{{"id":"{long}","parent_id":"{lower}"}}"#));
        tree.read("no event");
        let branch = tree.branch(Some(&long)).unwrap();
        assert!(branch.contains(&lower) && branch.contains(&long) && !branch.contains(upper));
    }
}
