//! How lists and maps are merged: by the keys of their items, as sets, or not at all.

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merging {
    /// Items with the same values of these are the same item.
    Keys(&'static [&'static str]),
    Set,
    /// Replaced as a whole.
    Whole,
}

/// A list `field` of an object that is (an item of) `parent`.
pub fn of_list(parent: &str, field: &str) -> Merging {
    use Merging::Keys;
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "secrets"
        | "schedulingGates"
        | "resourceClaims" => Keys(&["name"]),
        "volumeMounts" => Keys(&["mountPath"]),
        "volumeDevices" => Keys(&["devicePath"]),
        "hostAliases" => Keys(&["ip"]),
        "conditions" => Keys(&["type"]),
        "ownerReferences" => Keys(&["uid"]),
        "topologySpreadConstraints" => Keys(&["topologyKey", "whenUnsatisfiable"]),
        "ports" if ["containers", "initContainers"].contains(&parent) => Keys(&["containerPort", "protocol"]),
        "ports" if parent == "spec" => Keys(&["port", "protocol"]),
        "finalizers" => Merging::Set,
        _ => Merging::Whole,
    }
}

/// Maps that belong to one owner as a whole.
pub fn is_whole_map(field: &str) -> bool {
    const WHOLE: [&str; 8] = [
        "nodeSelector",
        "selector",
        "roleRef",
        "secretKeyRef",
        "configMapKeyRef",
        "fieldRef",
        "resourceFieldRef",
        "podSelector",
    ];
    WHOLE.contains(&field)
}

/// What an item says of a key, or what it means by saying nothing.
pub fn key_of(item: &Value, key: &str) -> Value {
    match (&item[key], key) {
        (Value::Null, "protocol") => "TCP".into(),
        (value, _) => value.clone(),
    }
}

pub fn is_same(one: &Value, other: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| key_of(one, key) == key_of(other, key))
}
