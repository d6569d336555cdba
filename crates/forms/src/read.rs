//! A schema becomes rules.

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

use crate::number::Bounds;
use crate::rule::{Field, Kinds, Others, Record, Rule, Text};
use crate::{Broken, Form};

const WORDS: [&str; 27] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "always",
    "anyOf",
    "const",
    "default",
    "discriminator",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "hidden",
    "items",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "type",
    "writeOnly",
];

const DEFINITIONS: &str = "#/$defs/";

type Schema = Map<String, Value>;

pub fn read(text: &str) -> Result<Form, Broken> {
    let schema: Value = serde_json::from_str(text).map_err(|error| broken("#", error.to_string()))?;
    let root = object(&schema, "#")?;
    let parts = root.get("$defs").and_then(Value::as_object);
    let mut reader = Reader { parts, rules: Vec::new(), named: HashMap::new() };
    // Places first: parts may refer to each other in a circle.
    for name in parts.into_iter().flat_map(Schema::keys) {
        let at = reader.push(Rule::Any);
        reader.named.insert(name.clone(), at);
    }
    for (name, part) in parts.into_iter().flatten() {
        let rule = reader.rule(part, &format!("{DEFINITIONS}{name}"))?;
        reader.put(name, rule);
    }
    let rule = reader.rule(&schema, "#")?;
    let root = reader.push(rule);
    Ok(Form { rules: reader.rules, root })
}

struct Reader<'a> {
    parts: Option<&'a Schema>,
    rules: Vec<Rule>,
    named: HashMap<String, usize>,
}

impl<'a> Reader<'a> {
    fn push(&mut self, rule: Rule) -> usize {
        self.rules.push(rule);
        self.rules.len() - 1
    }

    fn put(&mut self, name: &str, rule: Rule) {
        if let Some(place) = self.named.get(name).and_then(|&at| self.rules.get_mut(at)) {
            *place = rule;
        }
    }

    fn add(&mut self, schema: &Value, place: &str) -> Result<usize, Broken> {
        let rule = self.rule(schema, place)?;
        Ok(self.push(rule))
    }

    fn rule(&mut self, schema: &Value, place: &str) -> Result<Rule, Broken> {
        if schema.as_bool() == Some(true) {
            return Ok(Rule::Any);
        }
        let schema = object(schema, place)?;
        if let Some(word) = schema.keys().find(|word| !WORDS.contains(&word.as_str())) {
            return Err(broken(place, format!("`{word}` is not known")));
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.reference(reference, place).map(Rule::Same);
        }
        if let Some(parts) = schema.get("anyOf").and_then(Value::as_array) {
            let parts = parts.iter().enumerate();
            let rules = parts.map(|(at, part)| self.add(part, &format!("{place}/anyOf/{at}")));
            return rules.collect::<Result<_, _>>().map(Rule::Either);
        }
        if let Some(parts) = schema.get("oneOf").and_then(Value::as_array) {
            return self.kinds(schema, parts, place);
        }
        if let Some(value) = schema.get("const") {
            return Ok(Rule::Choice(vec![value.clone()]));
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return Ok(Rule::Choice(values.clone()));
        }
        match schema.get("type").and_then(Value::as_str) {
            None => Ok(Rule::Any),
            Some("null") => Ok(Rule::Null),
            Some("boolean") => Ok(Rule::Flag),
            Some("integer") => Ok(Rule::Whole(Bounds::read(schema))),
            Some("number") => Ok(Rule::Number(Bounds::read(schema))),
            Some("string") => text(schema, place).map(Rule::Text),
            Some("array") => Ok(Rule::List {
                items: self.optional(schema.get("items"), &format!("{place}/items"))?,
                least: size(schema, "minItems").unwrap_or(0),
            }),
            Some("object") if schema.contains_key("properties") => self.record(schema, place),
            Some("object") => self.map(schema, place),
            Some(other) => Err(broken(place, format!("the type `{other}` is not known"))),
        }
    }

    fn optional(&mut self, schema: Option<&Value>, place: &str) -> Result<usize, Broken> {
        match schema {
            Some(schema) => self.add(schema, place),
            None => Ok(self.push(Rule::Any)),
        }
    }

    fn reference(&self, reference: &str, place: &str) -> Result<usize, Broken> {
        let named = reference.strip_prefix(DEFINITIONS).and_then(|name| self.named.get(name));
        named.copied().ok_or_else(|| broken(place, format!("`{reference}` leads nowhere")))
    }

    fn map(&mut self, schema: &Schema, place: &str) -> Result<Rule, Broken> {
        let names = schema.get("propertyNames").and_then(|names| names.get("enum")).and_then(Value::as_array);
        Ok(Rule::Map {
            values: self
                .optional(schema.get("additionalProperties"), &format!("{place}/additionalProperties"))?,
            least: size(schema, "minProperties").unwrap_or(0),
            names: names.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        })
    }

    fn record(&mut self, schema: &Schema, place: &str) -> Result<Rule, Broken> {
        let properties = schema.get("properties").map_or(&Value::Null, |properties| properties);
        let required: Vec<&str> = list(schema, "required").iter().filter_map(Value::as_str).collect();
        let mut fields = Vec::new();
        for (name, property) in object(properties, place)? {
            let place = format!("{place}/properties/{name}");
            let words = object(property, &place)?;
            fields.push(Field {
                rule: self.add(property, &place)?,
                is_required: required.contains(&name.as_str()),
                default: words.get("default").cloned(),
                is_hidden: words.get("hidden") == Some(&Value::Bool(true)),
                always: words.get("always").cloned(),
                name: name.clone(),
            });
        }
        let others = match schema.get("additionalProperties") {
            None => Others::Dropped,
            Some(Value::Bool(true)) => Others::Kept,
            Some(Value::Bool(false)) => Others::Refused,
            Some(_) => return Err(broken(place, "fields and a rule for others".to_owned())),
        };
        Ok(Rule::Record(Record { fields, others }))
    }

    /// What tells them from each other is the field that is a constant in each.
    fn kinds(&mut self, schema: &Schema, parts: &[Value], place: &str) -> Result<Rule, Broken> {
        let named = schema.get("discriminator").and_then(Value::as_str);
        let first = parts.first().and_then(|part| self.constants(part).first().map(|(name, _)| *name));
        let no_tag = || broken(place, "nothing tells the kinds from each other".to_owned());
        let tag = named.or(first).ok_or_else(no_tag)?;
        let mut kinds = Vec::new();
        for part in parts {
            let constant = self.constants(part).into_iter().find(|(name, _)| *name == tag);
            let (_, value) = constant.ok_or_else(no_tag)?;
            kinds.push((value.to_owned(), self.add(part, place)?));
        }
        Ok(Rule::Kinds(Kinds { tag: tag.to_owned(), has_first: named.is_none(), kinds }))
    }

    /// Fields of a part that can be one text only. Looked up in the schema, for its rule may not be made yet.
    fn constants(&self, part: &Value) -> Vec<(&'a str, &'a str)> {
        let name = part.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(DEFINITIONS));
        let part = name.and_then(|name| self.parts?.get(name));
        let fields = part.and_then(|part| part.get("properties")).and_then(Value::as_object);
        let constant =
            |(name, field): (&'a String, &'a Value)| Some((name.as_str(), field.get("const")?.as_str()?));
        fields.into_iter().flatten().filter_map(constant).collect()
    }
}

fn text(schema: &Schema, place: &str) -> Result<Text, Broken> {
    let pattern = schema.get("pattern").and_then(Value::as_str).map(Regex::new).transpose();
    Ok(Text {
        is_secret: schema.get("writeOnly") == Some(&Value::Bool(true)),
        is_uuid: schema.get("format").and_then(Value::as_str) == Some("uuid"),
        least: size(schema, "minLength"),
        most: size(schema, "maxLength"),
        pattern: pattern.map_err(|error| broken(place, error.to_string()))?,
    })
}

fn size(schema: &Schema, word: &str) -> Option<usize> {
    schema.get(word).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok())
}

fn list<'a>(schema: &'a Schema, word: &str) -> &'a [Value] {
    schema.get(word).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn object<'a>(schema: &'a Value, place: &str) -> Result<&'a Schema, Broken> {
    schema.as_object().ok_or_else(|| broken(place, "no object".to_owned()))
}

fn broken(place: &str, what: String) -> Broken {
    Broken { place: place.to_owned(), what }
}
