//! The two ways in which a change is laid over what is stored.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// RFC 7396: null removes a field, objects are merged, all else takes the place of what was there.
pub fn merge_patch(base: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *base = patch;
        return;
    };
    let mut fields = match base.take() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let mut removed = HashSet::new();
    for (name, value) in patch {
        if value.is_null() {
            removed.insert(name);
        } else {
            merge_patch(fields.entry(name).or_insert(Value::Null), value);
        }
    }
    remove(&mut fields, &removed);
    *base = fields.into();
}

/// As the peer merges what has no form: null is a value at the top and removes below it, an object that is new is stored as it
/// is, also with nulls in it, and lists take the place of lists.
pub fn deep_merge(base: &mut Map<String, Value>, change: Map<String, Value>) {
    for (name, value) in change {
        match (base.get_mut(&name), value) {
            (Some(Value::Object(base)), Value::Object(change)) => merge_below(base, change),
            (_, value) => drop(base.insert(name, value)),
        }
    }
}

fn merge_below(base: &mut Map<String, Value>, change: Map<String, Value>) {
    let mut removed = HashSet::new();
    for (name, value) in change {
        match (base.get_mut(&name), value) {
            (_, Value::Null) => drop(removed.insert(name)),
            (Some(Value::Object(base)), Value::Object(change)) => merge_below(base, change),
            (_, value) => drop(base.insert(name, value)),
        }
    }
    remove(base, &removed);
}

/// In one pass: to remove one field alone moves all that come after it.
fn remove(fields: &mut Map<String, Value>, names: &HashSet<String>) {
    if !names.is_empty() {
        fields.retain(|name, _| !names.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_does_what_its_standard_says() {
        for (base, patch, wanted) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a"]), json!({"a": 1}), json!({"a": 1})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = base.clone();
            merge_patch(&mut merged, patch.clone());
            assert_eq!(merged, wanted, "{base} and {patch}");
        }
    }

    #[test]
    fn what_has_no_form_is_merged_as_the_peer_does() {
        let mut kept = json!({"a": {"b": 1, "c": [1, 2]}, "n": 1}).as_object().unwrap().clone();
        let change = json!({"a": {"b": null, "c": [3]}, "n": null, "new": {"x": null}});
        deep_merge(&mut kept, change.as_object().unwrap().clone());
        assert_eq!(Value::Object(kept), json!({"a": {"c": [3]}, "n": null, "new": {"x": null}}));
    }
    #[test]
    fn many_fields_are_removed_in_one_pass() {
        let all = |value: &Value| -> Value {
            (0..100_000).map(|number| (number.to_string(), value.clone())).collect::<Map<_, _>>().into()
        };
        let (kept, nulls) = (json!({"x": all(&json!(1))}), json!({"x": all(&Value::Null)}));
        // One by one it takes minutes.
        let begun = std::time::Instant::now();
        let mut merged = kept.clone();
        merge_patch(&mut merged, nulls.clone());
        assert_eq!(merged, json!({"x": {}}));
        let mut merged = kept.as_object().unwrap().clone();
        deep_merge(&mut merged, nulls.as_object().unwrap().clone());
        assert_eq!(Value::Object(merged), json!({"x": {}}));
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
