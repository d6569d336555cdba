//! Server-side apply: an owner says all that he wants, and takes nothing from others unless he insists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lists::{self, Merging};
use super::owners::{self, Owner};
use super::paths::{self, Paths};
use crate::status::{Cause, Status};
use crate::value::unset;

/// What becomes of the object.
///
/// # Errors
/// 409 where others have set fields to something else.
pub fn apply(live: &Value, wanted: &Value, manager: &str, force: bool) -> Result<Value, Status> {
    let mut wanted = wanted.clone();
    unset(&mut wanted, &["metadata", "managedFields"]);
    let said = paths::leaves(&wanted);
    let now = paths::leaves(live);
    let mut all = owners::of(live);
    let conflicts =
        conflicts(&all, manager, |path| said.get(path).is_some_and(|value| now.get(path) != Some(value)));
    if !conflicts.is_empty() && !force {
        return Err(refusal(&conflicts));
    }
    let mut next = live.clone();
    merge("", "", &mut next, &wanted);
    let mine: Paths = said.into_keys().collect();
    let before = all.iter().find(|owner| owner.is(manager, true, "")).map(|owner| owner.fields.clone());
    for path in before.unwrap_or_default().difference(&mine) {
        let is_anothers = all.iter().any(|owner| !owner.is(manager, true, "") && owner.fields.contains(path));
        if !is_anothers {
            paths::remove(&mut next, path);
        }
    }
    for (owner, taken) in conflicts {
        let theirs = all.iter_mut().filter(|other| other.say() == owner);
        theirs.for_each(|other| other.fields.retain(|path| !taken.contains(path)));
    }
    let unchanged = all.iter().any(|owner| owner.is(manager, true, "") && owner.fields == mine);
    if !unchanged {
        all.retain(|owner| !owner.is(manager, true, ""));
        all.push(Owner::new(&next, manager, true, "", mine));
    }
    owners::put(&mut next, all);
    Ok(next)
}

fn conflicts(
    owners: &[Owner],
    manager: &str,
    differs: impl Fn(&paths::Path) -> bool,
) -> BTreeMap<String, Vec<paths::Path>> {
    let mut found: BTreeMap<String, Vec<paths::Path>> = BTreeMap::new();
    for owner in owners.iter().filter(|owner| !owner.is(manager, true, "")) {
        for path in owner.fields.iter().filter(|path| differs(path)) {
            found.entry(owner.say()).or_default().push(path.clone());
        }
    }
    found
}

fn refusal(conflicts: &BTreeMap<String, Vec<paths::Path>>) -> Status {
    let count: usize = conflicts.values().map(Vec::len).sum();
    let mut words = Vec::new();
    let mut causes = Vec::new();
    for (owner, fields) in conflicts {
        let fields: Vec<String> = fields.iter().map(|path| paths::say(path)).collect();
        words.push(match fields.as_slice() {
            [field] => format!("conflict with {owner}: {field}"),
            fields => format!("conflicts with {owner}:\n- {}", fields.join("\n- ")),
        });
        causes.extend(fields.into_iter().map(|field| Cause {
            reason: "FieldManagerConflict",
            message: format!("conflict with {owner}"),
            field,
        }));
    }
    let s = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{s}: {}", words.join("\n"));
    Status::new(409, "Conflict", message).with_causes(&causes)
}

fn merge(parent: &str, field: &str, live: &mut Value, wanted: &Value) {
    match wanted {
        Value::Object(map) if !lists::is_whole_map(field) => {
            if !live.is_object() {
                *live = json!({});
            }
            let Some(target) = live.as_object_mut() else { return };
            for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                merge(field, name, target.entry(name).or_insert(Value::Null), value);
            }
        }
        Value::Array(items) => {
            let rest = live.as_array().cloned().unwrap_or_default();
            *live = match lists::of_list(parent, field) {
                Merging::Whole => wanted.clone(),
                Merging::Set => {
                    let new = items.iter().filter(|item| !rest.contains(item));
                    rest.iter().chain(new).cloned().collect()
                }
                Merging::Keys(keys) => merge_items(parent, field, rest, items, keys),
            };
        }
        value => *live = value.clone(),
    }
}

/// In the order that is wanted; what others have added comes after it.
fn merge_items(parent: &str, field: &str, mut rest: Vec<Value>, items: &[Value], keys: &[&str]) -> Value {
    let mut merged = Vec::new();
    for item in items {
        let at = rest.iter().position(|other| lists::is_same(other, item, keys));
        let mut there = at.map_or(Value::Null, |at| rest.remove(at));
        merge(parent, field, &mut there, item);
        merged.push(there);
    }
    merged.extend(rest);
    merged.into()
}
