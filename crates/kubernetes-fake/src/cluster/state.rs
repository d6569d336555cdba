//! The objects, and what has become of them: each change has a version, and the last ones are remembered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::kinds::Kind;
use crate::value::{Look, set};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub group: &'static str,
    pub plural: &'static str,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.namespaced { namespace } else { "" };
        Self {
            group: kind.group,
            plural: kind.plural,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub fn is(&self, kind: &Kind) -> bool {
        self.group == kind.group && self.plural == kind.plural
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Added,
    Modified,
    Deleted,
}

#[derive(Clone, Debug)]
pub struct Change {
    pub version: u64,
    pub key: Key,
    pub what: What,
    pub object: Arc<Value>,
    pub before: Option<Arc<Value>>,
}

type Objects = BTreeMap<Key, Arc<Value>>;

pub struct State {
    objects: Objects,
    version: u64,
    history: VecDeque<Change>,
    kept: usize,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    /// What lists may be answered from that take any version; `None`: the newest.
    pub cache: Option<(u64, Objects)>,
    /// Whether watches are told nothing.
    pub is_stalled: bool,
    /// The next address of a service.
    pub services: u32,
}

impl State {
    pub fn new(kept: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            // As if there had been others before; versions are opaque.
            version: 1000,
            history: VecDeque::new(),
            kept,
            forgotten: 1000,
            cache: None,
            is_stalled: false,
            services: 1,
        }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    pub fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Of one kind, in the order of namespace and name; an empty namespace: of all.
    pub fn of(&self, kind: &Kind, namespace: &str) -> Vec<(Key, Arc<Value>)> {
        Self::select(&self.objects, kind, namespace)
    }

    fn select(objects: &Objects, kind: &Kind, namespace: &str) -> Vec<(Key, Arc<Value>)> {
        let first = Key::new(kind, namespace, "");
        let those = objects.range(first..).take_while(|(key, _)| key.is(kind));
        let those =
            those.filter(|(key, _)| namespace.is_empty() || !kind.namespaced || key.namespace == namespace);
        those.map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    /// The same from what the cache has, and the version that it is at.
    pub fn cached(&self, kind: &Kind, namespace: &str) -> (u64, Vec<(Key, Arc<Value>)>) {
        match &self.cache {
            None => (self.version, self.of(kind, namespace)),
            Some(cache) => (cache.0, Self::select(&cache.1, kind, namespace)),
        }
    }

    /// Lets the cache stay behind, from now on.
    pub fn freeze_cache(&mut self) {
        self.cache = Some((self.version, self.objects.clone()));
    }

    /// As they were at a version, unless that is forgotten.
    pub fn at(&self, version: u64, kind: &Kind, namespace: &str) -> Option<Vec<(Key, Arc<Value>)>> {
        if version < self.forgotten {
            return None;
        }
        let mut objects: BTreeMap<Key, Arc<Value>> = self.of(kind, namespace).into_iter().collect();
        let of_this = |key: &Key| key.is(kind) && (namespace.is_empty() || key.namespace == namespace);
        for change in self.history.iter().rev().take_while(|change| change.version > version) {
            if !of_this(&change.key) {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        Some(objects.into_iter().collect())
    }

    /// Stores it as it is, with the next version.
    pub fn put(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        set(&mut object, &["metadata", "resourceVersion"], self.version.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), object.clone());
        let what = if before.is_some() { What::Modified } else { What::Added };
        self.remember(key, what, object.clone(), before);
        object
    }

    /// Changes what is there, if it is and the change is one.
    pub fn change(&mut self, key: &Key, change: impl FnOnce(&mut Value)) -> Option<Arc<Value>> {
        let old = self.objects.get(key)?.clone();
        let mut new = (*old).clone();
        change(&mut new);
        if new == *old {
            return Some(old);
        }
        Some(self.put(key, new))
    }

    /// What is removed has a version of its own, too.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        let mut last = (*before).clone();
        set(&mut last, &["metadata", "resourceVersion"], self.version.to_string());
        let last = Arc::new(last);
        self.remember(key, What::Deleted, last.clone(), Some(before));
        Some(last)
    }

    fn remember(&mut self, key: &Key, what: What, object: Arc<Value>, before: Option<Arc<Value>>) {
        self.history.push_back(Change { version: self.version, key: key.clone(), what, object, before });
        while self.history.len() > self.kept {
            if let Some(oldest) = self.history.pop_front() {
                self.forgotten = oldest.version;
            }
        }
    }

    /// Takes back all that came after a version, which nobody has seen yet.
    pub fn undo(&mut self, version: u64) {
        while let Some(change) = self.history.pop_back_if(|change| change.version > version) {
            match change.before {
                Some(before) => self.objects.insert(change.key, before),
                None => self.objects.remove(&change.key),
            };
        }
        self.version = version;
    }

    /// Changes after a version.
    pub fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let begin = self.history.partition_point(|change| change.version <= version);
        self.history.range(begin..)
    }

    /// Forgets all changes until now.
    pub fn compact(&mut self) {
        self.history.clear();
        self.forgotten = self.version;
    }

    pub fn by_uid(&self, uid: &str) -> Option<(Key, Arc<Value>)> {
        let found = self.objects.iter().find(|(_, object)| object.text("/metadata/uid") == uid);
        found.map(|(key, object)| (key.clone(), object.clone()))
    }
}
