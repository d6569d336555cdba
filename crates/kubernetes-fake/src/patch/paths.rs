//! Which fields an object has, as paths of `FieldsV1`, and back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::lists::{self, Merging};

/// Names of fields (`f:`), keys of items (`k:`), values of sets (`v:`); `.` at the end: the item itself.
pub type Path = Vec<String>;
pub type Paths = BTreeSet<Path>;

/// What nobody owns.
const FREE: [&str; 12] = [
    "apiVersion",
    "kind",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.managedFields",
    "metadata.deletionTimestamp",
    "metadata.deletionGracePeriodSeconds",
    "metadata.selfLink",
];

pub fn of(object: &Value) -> Paths {
    leaves(object).into_keys().collect()
}

/// Each field that is no map, with its value.
pub fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    collect(&mut Vec::new(), "", "", object, &mut found);
    found.retain(|path, _| {
        let plain: Vec<&str> = path.iter().take(2).map(|part| part.trim_start_matches("f:")).collect();
        !FREE.contains(&plain.join(".").as_str()) && !plain.first().is_some_and(|first| FREE.contains(first))
    });
    found
}

fn collect(path: &mut Path, parent: &str, field: &str, value: &Value, found: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() && !lists::is_whole_map(field) => {
            for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                path.push(format!("f:{name}"));
                collect(path, field, name, value, found);
                path.pop();
            }
        }
        Value::Array(items) => match lists::of_list(parent, field) {
            Merging::Keys(keys) => {
                for item in items {
                    path.push(key(item, keys));
                    path.push(".".to_owned());
                    found.insert(path.clone(), Value::Null);
                    path.pop();
                    collect(path, parent, field, item, found);
                    path.pop();
                }
            }
            Merging::Set => {
                for item in items {
                    path.push(format!("v:{item}"));
                    found.insert(path.clone(), item.clone());
                    path.pop();
                }
            }
            Merging::Whole => drop(found.insert(path.clone(), value.clone())),
        },
        value => drop(found.insert(path.clone(), value.clone())),
    }
}

fn key(item: &Value, keys: &[&str]) -> String {
    let keys: Map<String, Value> =
        keys.iter().map(|key| ((*key).to_owned(), lists::key_of(item, key))).collect();
    format!("k:{}", Value::Object(keys))
}

/// As `managedFields` has them.
pub fn encode(paths: &Paths) -> Value {
    let mut tree = json!({});
    for path in paths {
        let mut at = &mut tree;
        for part in path {
            at = at.as_object_mut().unwrap().entry(part).or_insert_with(|| json!({}));
        }
    }
    tree
}

pub fn decode(tree: &Value) -> Paths {
    let mut paths = Paths::new();
    walk(&mut Vec::new(), tree, &mut paths);
    paths
}

fn walk(path: &mut Path, tree: &Value, paths: &mut Paths) {
    let Some(map) = tree.as_object().filter(|map| !map.is_empty()) else {
        if !path.is_empty() {
            paths.insert(path.clone());
        }
        return;
    };
    for (part, below) in map {
        path.push(part.clone());
        walk(path, below, paths);
        path.pop();
    }
}

/// As people read it: `.spec.containers[name="worker"].image`.
pub fn say(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if let Some(name) = part.strip_prefix("f:") {
            text.push('.');
            text.push_str(name);
        } else if let Some(keys) = part.strip_prefix("k:") {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            text.push_str(&format!("[{}]", keys.join(",")));
        } else if let Some(value) = part.strip_prefix("v:") {
            text.push_str(&format!("[={value}]"));
        }
    }
    text
}

/// Takes away what is at a path.
pub fn remove(object: &mut Value, path: &[String]) {
    let Some((part, rest)) = path.split_first() else { return };
    let is_last = rest.is_empty() || rest == ["."];
    if let Some(name) = part.strip_prefix("f:") {
        let Some(map) = object.as_object_mut() else { return };
        if is_last {
            map.shift_remove(name);
        } else if let Some(below) = map.get_mut(name) {
            remove(below, rest);
            if below.as_array().is_some_and(Vec::is_empty) || below.as_object().is_some_and(Map::is_empty) {
                map.shift_remove(name);
            }
        }
        return;
    }
    let Some(list) = object.as_array_mut() else { return };
    if let Some(keys) = part.strip_prefix("k:") {
        let keys: Value = serde_json::from_str(keys).unwrap_or_default();
        let names: Vec<&str> = keys.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let Some(at) = list.iter().position(|item| lists::is_same(item, &keys, &names)) else { return };
        if rest == ["."] {
            list.remove(at);
        } else {
            remove(&mut list[at], rest);
        }
    } else if let Some(value) = part.strip_prefix("v:") {
        let value: Value = serde_json::from_str(value).unwrap_or_default();
        list.retain(|item| *item != value);
    }
}
