//! RFC 7396: maps are merged, null removes, everything else is replaced; lists, too.

use serde_json::{Value, json};

pub fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(map) = target.as_object_mut() else { return };
    for (field, value) in fields {
        if value.is_null() {
            map.shift_remove(field);
        } else {
            merge(map.entry(field).or_insert(Value::Null), value);
        }
    }
}
