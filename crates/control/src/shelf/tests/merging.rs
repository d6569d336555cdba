//! Changes of any form, against the few lines of the standard.

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::merge::{deep_merge, merge_patch};

/// As RFC 7396 writes it down.
fn patched(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.retain(|known, _| known != name);
        } else {
            let before = fields.get(name).cloned().unwrap_or_default();
            fields.insert(name.clone(), patched(before, value));
        }
    }
    fields.into()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), any::<u8>().prop_map(Value::from), "[a-z]{0,3}".prop_map(Value::from)];
    leaf.prop_recursive(5, 64, 5, |inner| {
        let object = hash_map("[a-d]", inner.clone(), 0..5);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_patch_does_what_the_standard_does(base in any_json(), patch in any_json()) {
        let mut merged = base.clone();
        merge_patch(&mut merged, patch.clone());
        prop_assert_eq!(&merged, &patched(base, &patch));
        let mut again = merged.clone();
        merge_patch(&mut again, patch);
        prop_assert_eq!(again, merged);
    }

    #[test]
    fn a_change_touches_nothing_that_it_does_not_name(base in hash_map("[a-h]", any_json(), 0..8), change in hash_map("[a-d]", any_json(), 0..4)) {
        let base: Map<String, Value> = base.into_iter().collect();
        let change: Map<String, Value> = change.into_iter().collect();
        let mut merged = base.clone();
        deep_merge(&mut merged, change.clone());
        for (name, value) in base.iter().filter(|(name, _)| !change.contains_key(*name)) {
            prop_assert_eq!(merged.get(name), Some(value));
        }
        for name in change.keys() {
            prop_assert!(merged.contains_key(name), "{}", name);
        }
        prop_assert_eq!(merged.keys().filter(|name| !base.contains_key(*name) && !change.contains_key(*name)).count(), 0);
    }
}
