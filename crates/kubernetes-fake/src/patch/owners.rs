//! Who has set which field: `metadata.managedFields`.

use serde_json::{Value, json};

use super::paths::{self, Paths};
use crate::value::{Look, now, set, unset};

#[derive(Clone, Debug)]
pub struct Owner {
    pub manager: String,
    pub applies: bool,
    /// Of a sub-resource, or empty.
    pub sub: String,
    pub fields: Paths,
    version: String,
    time: String,
}

impl Owner {
    pub fn new(object: &Value, manager: &str, applies: bool, sub: &str, fields: Paths) -> Self {
        let version = object.text("/apiVersion").to_owned();
        Self { manager: manager.to_owned(), applies, sub: sub.to_owned(), fields, version, time: now() }
    }

    pub fn is(&self, manager: &str, applies: bool, sub: &str) -> bool {
        self.manager == manager && self.applies == applies && self.sub == sub
    }

    /// As conflicts name it.
    pub fn say(&self) -> String {
        let sub =
            if self.sub.is_empty() { String::new() } else { format!(" with subresource {:?}", self.sub) };
        let version = if self.applies { String::new() } else { format!(" using {}", self.version) };
        format!("{:?}{sub}{version}", self.manager)
    }
}

pub fn of(object: &Value) -> Vec<Owner> {
    let entries = object.list("/metadata/managedFields").iter();
    entries
        .map(|entry| Owner {
            manager: entry.text("/manager").to_owned(),
            applies: entry["operation"] == "Apply",
            sub: entry.text("/subresource").to_owned(),
            fields: paths::decode(&entry["fieldsV1"]),
            version: entry.text("/apiVersion").to_owned(),
            time: entry.text("/time").to_owned(),
        })
        .collect()
}

pub fn put(object: &mut Value, owners: Vec<Owner>) {
    let entry = |owner: Owner| {
        let mut entry = json!({
            "manager": owner.manager,
            "operation": if owner.applies { "Apply" } else { "Update" },
            "apiVersion": owner.version,
            "time": owner.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": paths::encode(&owner.fields),
        });
        if !owner.sub.is_empty() {
            entry["subresource"] = owner.sub.into();
        }
        entry
    };
    let entries: Vec<Value> =
        owners.into_iter().filter(|owner| !owner.fields.is_empty()).map(entry).collect();
    if entries.is_empty() {
        unset(object, &["metadata", "managedFields"]);
    } else {
        set(object, &["metadata", "managedFields"], entries);
    }
}

/// A new object belongs to who has made it, as far as he has said it.
pub fn created(object: &mut Value, given: &Value, manager: &str, applies: bool) {
    let mut given = given.clone();
    unset(&mut given, &["status"]);
    let owner = Owner::new(object, manager, applies, "", paths::of(&given));
    put(object, vec![owner]);
}

/// Whoever changes a field without applying owns it from then on, alone.
pub fn updated(old: &Value, new: &mut Value, manager: &str, sub: &str) {
    let (before, after) = (paths::leaves(old), paths::leaves(new));
    let changed: Paths = after
        .iter()
        .filter(|(path, value)| before.get(*path) != Some(value))
        .map(|(path, _)| path.clone())
        .collect();
    let gone: Paths = before.keys().filter(|path| !after.contains_key(*path)).cloned().collect();
    let mut owners = of(old);
    for owner in &mut owners {
        owner.fields.retain(|path| !changed.contains(path) && !gone.contains(path));
    }
    if !changed.is_empty() {
        match owners.iter_mut().find(|owner| owner.is(manager, false, sub)) {
            Some(owner) => {
                owner.fields.extend(changed);
                owner.time = now();
            }
            None => owners.push(Owner::new(new, manager, false, sub, changed)),
        }
    }
    put(new, owners);
}
