//! What a model is shown of a schema that a server has made: what every provider takes. References are put in their place, of
//! several forms the first one counts.

use serde_json::{Map, Value, json};

/// How far references are followed, and how many parts there may be: one may lead to itself, or to ten others.
const DEPTH: usize = 16;
const PARTS: usize = 2_000;

const KEPT: [&str; 3] = ["type", "description", "enum"];

/// The schema of an object.
pub fn reduced(schema: &Map<String, Value>) -> Value {
    let mut reducing = Reducing { root: schema, left: PARTS };
    let mut whole = Map::from_iter([("type".to_owned(), json!("object"))]);
    whole.insert("properties".to_owned(), json!({}));
    whole.extend(reducing.properties(schema, DEPTH));
    Value::Object(whole)
}

struct Reducing<'a> {
    root: &'a Map<String, Value>,
    left: usize,
}

impl<'a> Reducing<'a> {
    /// The properties of an object and which of them it needs, as far as there is room.
    fn properties(&mut self, object: &'a Map<String, Value>, depth: usize) -> Map<String, Value> {
        let Some(properties) = object.get("properties").and_then(Value::as_object) else { return Map::new() };
        let mut reduced = Map::new();
        for (name, part) in properties {
            if self.left == 0 {
                break;
            }
            reduced.insert(name.clone(), self.part(part, depth));
        }
        let is_there = |name: &&Value| name.as_str().is_some_and(|name| reduced.contains_key(name));
        let required = object.get("required").and_then(Value::as_array);
        let required: Vec<Value> = required.into_iter().flatten().filter(is_there).cloned().collect();
        let mut kept = Map::from_iter([("properties".to_owned(), Value::Object(reduced))]);
        if !required.is_empty() {
            kept.insert("required".to_owned(), Value::Array(required));
        }
        kept
    }

    fn part(&mut self, part: &'a Value, depth: usize) -> Value {
        let Some(depth) = depth.checked_sub(1) else { return json!({}) };
        let Some(left) = self.left.checked_sub(1) else { return json!({}) };
        self.left = left;
        let Some(fields) = part.as_object() else { return json!({}) };
        if let Some(referred) = fields.get("$ref").and_then(Value::as_str) {
            let found = self.referred(referred).map(|found| self.part(found, depth));
            return described(found.unwrap_or_else(|| json!({})), fields);
        }
        let forms = fields.get("anyOf").or(fields.get("oneOf")).and_then(Value::as_array);
        if let Some(form) = forms.and_then(|forms| forms.iter().find(|form| !is_null(form))) {
            return described(self.part(form, depth), fields);
        }
        let mut kept = Map::new();
        for name in KEPT {
            if let Some(value) = fields.get(name) {
                kept.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(kinds) = fields.get("type").and_then(Value::as_array) {
            let kind = kinds.iter().find(|kind| *kind != "null").cloned();
            kept.insert("type".to_owned(), kind.unwrap_or_else(|| json!("string")));
        }
        if let Some(items) = fields.get("items") {
            kept.insert("items".to_owned(), self.part(items, depth));
        } else if kept.get("type").is_some_and(|kind| kind == "array") {
            // Some providers refuse a list of nothing.
            kept.insert("items".to_owned(), json!({"type": "string"}));
        }
        kept.extend(self.properties(fields, depth));
        Value::Object(kept)
    }

    /// `#/$defs/Name`
    fn referred(&self, reference: &str) -> Option<&'a Value> {
        let mut names = reference.strip_prefix("#/")?.split('/');
        let first = self.root.get(names.next()?)?;
        names.try_fold(first, |found, name| found.get(name.replace("~1", "/").replace("~0", "~")))
    }
}

/// What is said of the place counts before what is said of the form.
fn described(mut reduced: Value, place: &Map<String, Value>) -> Value {
    if let (Some(fields), Some(description)) = (reduced.as_object_mut(), place.get("description")) {
        fields.insert("description".to_owned(), description.clone());
    }
    reduced
}

fn is_null(form: &Value) -> bool {
    form.get("type").is_some_and(|kind| kind == "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(schema: Value) -> Value {
        reduced(schema.as_object().unwrap())
    }

    #[test]
    fn what_providers_do_not_take_is_left_out() {
        let schema = json!({"$schema": "x", "type": "object", "additionalProperties": false, "required": ["a", "gone"],
            "$defs": {"Place": {"type": "object", "title": "P", "properties": {"x": {"type": "number", "default": 1}},
                "required": ["x"]}},
            "properties": {
                "a": {"type": "string", "enum": ["b"], "title": "A", "minLength": 1, "description": "first"},
                "place": {"$ref": "#/$defs/Place", "description": "where"},
                "maybe": {"anyOf": [{"type": "null"}, {"type": "integer"}], "default": null},
                "many": {"type": ["array", "null"], "items": {"$ref": "#/$defs/Place"}},
                "open": {"type": "array"}, "lost": {"$ref": "#/$defs/None"}}});
        let place = json!({"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]});
        let mut described = place.clone();
        described["description"] = json!("where");
        assert_eq!(
            shown(schema),
            json!({"type": "object", "required": ["a"], "properties": {
                "a": {"type": "string", "enum": ["b"], "description": "first"}, "place": described,
                "maybe": {"type": "integer"}, "many": {"type": "array", "items": place},
                "open": {"type": "array", "items": {"type": "string"}}, "lost": {}}})
        );
        assert_eq!(shown(json!({})), json!({"type": "object", "properties": {}}));
    }

    #[test]
    fn a_schema_that_refers_to_itself_again_and_again_ends() {
        let ten: Map<String, Value> =
            (0..10).map(|n| (n.to_string(), json!({"$ref": "#/$defs/Tree"}))).collect();
        let schema = json!({"$defs": {"Tree": {"type": "object", "properties": ten}},
            "properties": {"root": {"$ref": "#/$defs/Tree"}}});
        assert!(shown(schema).to_string().len() < 100_000);
        let endless =
            json!({"$defs": {"A": {"$ref": "#/$defs/A"}}, "properties": {"a": {"$ref": "#/$defs/A"}}});
        assert_eq!(shown(endless)["properties"]["a"], json!({}));
    }
}
