//! Schemas of tools as simple as every server takes them: no references, no alternatives, no words that few know. They say less
//! then; whoever reads the arguments of a call checks them all the same.

use serde_json::{Map, Value, json};

/// What stays as it is.
const PLAIN: [&str; 6] = ["description", "enum", "required", "minimum", "maximum", "nullable"];
/// Of a schema: references may go in circles.
const DEEPEST: u8 = 12;
const MOST: usize = 2_000;

/// Of the tools of a body, in whatever dialect.
pub(super) fn plain(body: &mut Map<String, Value>) {
    let tools = body.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten();
    for tool in tools {
        let holder = if tool.get("function").is_some() { tool.get_mut("function") } else { Some(tool) };
        let Some(holder) = holder.and_then(Value::as_object_mut) else { continue };
        for key in ["parameters", "input_schema"] {
            if let Some(schema) = holder.get_mut(key) {
                let mut plain = Reader { root: schema, left: MOST }.plain(schema, 0);
                // Of the whole nobody takes anything but an object.
                plain.insert("type".to_owned(), "object".into());
                plain.entry("properties").or_insert_with(|| json!({}));
                *schema = Value::Object(plain);
            }
        }
    }
}

struct Reader<'a> {
    root: &'a Value,
    /// So many schemas more.
    left: usize,
}

impl<'a> Reader<'a> {
    fn plain(&mut self, schema: &Value, depth: u8) -> Map<String, Value> {
        let mut plain = Map::new();
        let fields = schema.as_object().filter(|_| depth < DEEPEST && self.left > 0);
        self.left = self.left.saturating_sub(1);
        let meant: Vec<_> = fields.into_iter().flat_map(|fields| self.meant(fields)).chain(fields).collect();
        meant.into_iter().for_each(|fields| self.add(fields, &mut plain, depth));
        complete(&mut plain);
        plain
    }

    fn add(&mut self, fields: &Map<String, Value>, plain: &mut Map<String, Value>, depth: u8) {
        let kept = fields.iter().filter(|(key, _)| PLAIN.contains(&key.as_str()));
        plain.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
        if let Some(value) = fields.get("const") {
            plain.insert("enum".to_owned(), json!([value]));
        }
        if let Some(kind) = fields.get("type").and_then(kind_of) {
            plain.insert("type".to_owned(), kind.into());
        }
        if let Some(items) = fields.get("items") {
            plain.insert("items".to_owned(), Value::Object(self.plain(items, depth + 1)));
        }
        let Some(Value::Object(properties)) = fields.get("properties") else { return };
        let mut all = plain.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        for (key, value) in properties {
            all.insert(key.clone(), Value::Object(self.plain(value, depth + 1)));
        }
        plain.insert("properties".to_owned(), Value::Object(all));
    }

    /// What a schema refers to, the first of its alternatives that is something, and all that it has to be besides.
    fn meant<'f>(&self, fields: &'f Map<String, Value>) -> Vec<&'f Map<String, Value>>
    where
        'a: 'f,
    {
        let list = |key: &str| fields.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_something = |one: &&Value| one.get("type").is_none_or(|kind| kind != "null");
        let first = ["anyOf", "oneOf"].iter().find_map(|key| list(key).iter().find(is_something));
        let first = first.into_iter().flat_map(|one| [self.referred(one), Some(one)]);
        let referred = fields.get("$ref").and_then(|path| self.at(path));
        [referred]
            .into_iter()
            .chain(first)
            .flatten()
            .chain(list("allOf"))
            .filter_map(Value::as_object)
            .collect()
    }

    fn referred(&self, schema: &Value) -> Option<&'a Value> {
        self.at(schema.get("$ref")?)
    }

    fn at(&self, path: &Value) -> Option<&'a Value> {
        self.root.pointer(path.as_str()?.strip_prefix('#')?)
    }
}

fn kind_of(kind: &Value) -> Option<&str> {
    match kind {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    }
}

/// What some servers miss.
fn complete(plain: &mut Map<String, Value>) {
    let has = |plain: &Map<String, Value>, key: &str| plain.contains_key(key);
    if !has(plain, "type") {
        let kind = match () {
            () if has(plain, "properties") => "object",
            () if has(plain, "items") => "array",
            () => "string",
        };
        plain.insert("type".to_owned(), kind.into());
    }
    let kind = plain.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == "array" {
        plain.entry("items").or_insert_with(|| json!({"type": "string"}));
    }
    // Of what is no text nobody takes a list of values everywhere.
    let are_texts =
        plain.get("enum").and_then(Value::as_array).is_some_and(|all| all.iter().all(Value::is_string));
    if has(plain, "enum") && !(are_texts && kind == "string") {
        plain.shift_remove("enum");
    }
    let known: Vec<String> = plain
        .get("properties")
        .and_then(Value::as_object)
        .map(|all| all.keys().cloned().collect())
        .unwrap_or_default();
    if let Some(required) = plain.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|key| key.as_str().is_some_and(|key| known.iter().any(|name| name == key)));
    }
    if plain.get("required").is_some_and(|required| required.as_array().is_none_or(Vec::is_empty)) {
        plain.shift_remove("required");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(parameters: Value) -> Value {
        let mut body =
            json!({"tools": [{"type": "function", "function": {"name": "t", "parameters": parameters}}]});
        plain(body.as_object_mut().unwrap());
        body["tools"][0]["function"]["parameters"].take()
    }

    #[test]
    fn a_schema_says_the_same_in_words_that_all_know() {
        let rich = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": false,
            "required": ["path", "gone"],
            "$defs": {"Place": {"type": "object", "title": "Place", "properties": {"line": {"type": "integer", "exclusiveMinimum": 0}}}},
            "properties": {
                "path": {"type": "string", "format": "uri", "minLength": 1, "description": "Where."},
                "mode": {"const": "fast"},
                "count": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null, "description": "How many."},
                "place": {"$ref": "#/$defs/Place"},
                "maybe": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Place"}]},
                "words": {"type": ["array", "null"], "items": {"type": "string", "pattern": "a+"}},
                "pairs": {"type": "array", "prefixItems": [{"type": "string"}]},
                "level": {"type": "integer", "enum": [1, 2]},
            },
        });
        let place = json!({"type": "object", "properties": {"line": {"type": "integer"}}});
        let expected = json!({
            "type": "object",
            "required": ["path"],
            "properties": {
                "path": {"description": "Where.", "type": "string"},
                "mode": {"enum": ["fast"], "type": "string"},
                "count": {"type": "integer", "description": "How many."},
                "place": place,
                "maybe": place,
                "words": {"type": "array", "items": {"type": "string"}},
                "pairs": {"type": "array", "items": {"type": "string"}},
                "level": {"type": "integer"},
            },
        });
        assert_eq!(plain_of(rich), expected);
        assert_eq!(plain_of(expected.clone()), expected);
    }

    #[test]
    fn schemas_that_refer_to_themselves_come_to_an_end() {
        let circle = json!({"$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}}}}, "$ref": "#/$defs/Node"});
        assert!(plain_of(circle).to_string().len() < 10_000);
        let many: Map<String, Value> =
            (0..9).map(|name| (name.to_string(), json!({"$ref": "#/$defs/Node"}))).collect();
        let circle = json!({"$defs": {"Node": {"properties": many}}, "$ref": "#/$defs/Node"});
        assert!(plain_of(circle).to_string().len() < 1_000_000);
        assert_eq!(plain_of(json!(true)), json!({"type": "object", "properties": {}}));
        assert_eq!(plain_of(json!({"type": "string"})), json!({"type": "object", "properties": {}}));
    }
}
