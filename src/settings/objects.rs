//! Settings that are lists of objects, from the same places as all others.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::source::{check_no_gap, variable_of};
use super::table::{self, Kind};
use super::{Invalid, Source};

/// One object of a list, and what its fields are called.
pub struct Object {
    /// `OH_LIST_0`.
    name: String,
    fields: Map<String, Value>,
}

impl Source {
    /// `OH_LIST_0_FIELD`, `OH_LIST_1_FIELD` and so on, or `OH_LIST` as a JSON array; else the file's.
    ///
    /// # Errors
    /// What is no list of objects; a number whose predecessor is not there.
    pub fn objects(&self, list: &str) -> Result<Vec<Object>, Invalid> {
        let fields = match table::find(list).map(|setting| setting.kind) {
            Some(Kind::Objects(fields)) => fields,
            _ => return Err(Invalid::new(list, "is not in the table of settings as it is read")),
        };
        if self.is_none(list)? {
            return Ok(Vec::new());
        }
        let numbered = self.numbered_objects(list, fields)?;
        if !numbered.is_empty() {
            return Ok(numbered);
        }
        match self.variable(&variable_of(list)) {
            None => array_of_objects(list, self.file().get(list)),
            // A count, beside variables with numbers of which none is set.
            Some(text) if text.trim().parse::<usize>().is_ok() => Ok(numbered),
            Some(text) => {
                let array = serde_json::from_str(text)
                    .map_err(|_| Invalid::new(list, "must be a JSON array of objects"))?;
                array_of_objects(list, Some(&array))
            }
        }
    }

    fn numbered_objects(&self, list: &str, fields: &[&str]) -> Result<Vec<Object>, Invalid> {
        let prefix = format!("{}_", variable_of(list));
        let mut found: BTreeMap<usize, Map<String, Value>> = BTreeMap::new();
        let of_list =
            self.environment().range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        for (name, text) in of_list.filter(|(_, text)| !text.trim().is_empty()) {
            let rest = name.strip_prefix(&prefix).unwrap_or_default().to_lowercase();
            let (number, field) = match rest.split_once('_') {
                Some((number, field)) => (number, Some(field)),
                None => (rest.as_str(), None),
            };
            let Ok(number) = number.parse() else { continue };
            let object = found.entry(number).or_default();
            match field {
                Some(field) if fields.contains(&field) => {
                    object.insert(field.to_owned(), text.as_str().into());
                }
                Some(_) => {}
                None => {
                    let whole: Map<String, Value> = serde_json::from_str(text)
                        .map_err(|_| Invalid::named(name.clone(), "must be a JSON object"))?;
                    // What has a variable of its own counts more.
                    for (field, value) in whole {
                        object.entry(field).or_insert(value);
                    }
                }
            }
        }
        found.retain(|_, object| !object.is_empty());
        check_no_gap(&prefix, found.keys())?;
        let object = |(number, fields)| Object { name: format!("{prefix}{number}"), fields };
        Ok(found.into_iter().map(object).collect())
    }
}

impl Object {
    pub fn text(&self, field: &str) -> Result<Option<&str>, Invalid> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(field, "must be a text")),
        }
    }

    /// A field as it is given: of a variable, a text.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// What is wrong with a field, which is never shown.
    pub fn invalid(&self, field: &str, what: impl Into<String>) -> Invalid {
        Invalid::named(format!("{}_{}", self.name, field.to_uppercase()), what)
    }
}

fn array_of_objects(list: &str, value: Option<&Value>) -> Result<Vec<Object>, Invalid> {
    let wrong = || Invalid::new(list, "must be a list of objects");
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong()),
    };
    let objects = items.iter().enumerate().map(|(number, item)| {
        let fields = item.as_object()?.clone();
        Some(Object { name: format!("{}_{number}", variable_of(list)), fields })
    });
    objects.collect::<Option<Vec<_>>>().ok_or_else(wrong)
}
