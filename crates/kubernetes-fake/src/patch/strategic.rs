//! A merge that knows lists whose items have keys.

use serde_json::{Map, Value, json};

use super::lists::{self, Merging};

pub fn strategic(target: &mut Value, patch: &Value) {
    merge("", target, patch);
}

/// Of the value of `field`.
fn merge(field: &str, target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if fields.get("$patch").is_some_and(|how| how == "replace") {
        let kept = fields.iter().filter(|(name, _)| *name != "$patch");
        *target = Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect());
        return;
    }
    if !target.is_object() {
        *target = json!({});
    }
    let Some(map) = target.as_object_mut() else { return };
    for (name, value) in fields {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(list) = map.get_mut(list).and_then(Value::as_array_mut) {
                list.retain(|item| !gone.contains(item));
            }
        } else if !name.starts_with('$') {
            merge_field(field, map, name, value);
        }
    }
}

fn merge_field(parent: &str, map: &mut Map<String, Value>, name: &str, value: &Value) {
    match (value, lists::of_list(parent, name)) {
        (Value::Null, _) => drop(map.shift_remove(name)),
        (Value::Array(items), Merging::Keys(keys)) => {
            let list = map.entry(name).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                // Of several keys this kind of patch knows the first.
                merge_items(name, list, items, &keys[..1]);
            }
        }
        (Value::Array(items), Merging::Set) => {
            let list = map.entry(name).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                let new: Vec<Value> = items.iter().filter(|item| !list.contains(item)).cloned().collect();
                list.extend(new);
            }
        }
        (value, _) => merge(name, map.entry(name).or_insert(Value::Null), value),
    }
}

fn merge_items(name: &str, list: &mut Vec<Value>, items: &[Value], keys: &[&str]) {
    if items.iter().any(|item| item["$patch"] == "replace") {
        *list = items.iter().filter(|item| item["$patch"] != "replace").cloned().collect();
        return;
    }
    for item in items {
        let at = list.iter().position(|other| lists::is_same(other, item, keys));
        match (at, item["$patch"] == "delete") {
            (Some(at), true) => drop(list.remove(at)),
            (None, true) => {}
            (Some(at), false) => merge(name, &mut list[at], item),
            (None, false) => list.push(item.clone()),
        }
    }
}
