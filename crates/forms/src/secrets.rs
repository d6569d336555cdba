//! Where the secrets are. A value is walked with all rules that may be meant for a place, so that it need neither be complete
//! nor say which of several kinds it is: a text is a secret if any of them says so.

use serde_json::Value;

use crate::Form;
use crate::rule::{Kinds, Rule};
use crate::trouble::Step;

impl Form {
    pub(crate) fn map_secrets_by(
        &self,
        rules: &[usize],
        value: &mut Value,
        at: &mut Vec<Step>,
        change: &mut dyn FnMut(&[Step], &str) -> Value,
    ) {
        let mut meant = Vec::new();
        rules.iter().for_each(|&rule| self.unfold(rule, value, &mut meant));
        match value {
            Value::String(text) => {
                let is_secret = |rule: &usize| matches!(self.rule(*rule), Rule::Text(rule) if rule.is_secret);
                if meant.iter().any(is_secret) {
                    *value = change(at, text);
                }
            }
            Value::Array(items) => {
                let below = of(&meant, |rule| match self.rule(rule) {
                    Rule::List { items, .. } => Some(*items),
                    _ => None,
                });
                for (index, item) in items.iter_mut().enumerate() {
                    at.push(Step::Index(index));
                    self.map_secrets_by(&below, item, at, change);
                    at.pop();
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    let below = of(&meant, |rule| self.rule_of_field(rule, name));
                    at.push(Step::Field(name.clone()));
                    self.map_secrets_by(&below, field, at, change);
                    at.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The rules that `rule` stands for, of this value.
    fn unfold(&self, rule: usize, value: &Value, meant: &mut Vec<usize>) {
        match self.rule(rule) {
            Rule::Same(rule) => self.unfold(*rule, value, meant),
            Rule::Either(rules) => rules.iter().for_each(|&rule| self.unfold(rule, value, meant)),
            Rule::Kinds(kinds) => {
                kinds_meant(kinds, value).for_each(|rule| self.unfold(rule, value, meant));
            }
            _ if !meant.contains(&rule) => meant.push(rule),
            _ => {}
        }
    }

    fn rule_of_field(&self, rule: usize, name: &str) -> Option<usize> {
        match self.rule(rule) {
            Rule::Map { values, .. } => Some(*values),
            Rule::Record(record) => {
                record.fields.iter().find(|field| field.name == name).map(|field| field.rule)
            }
            _ => None,
        }
    }
}

/// The one that the value names, else all.
fn kinds_meant<'a>(kinds: &'a Kinds, value: &Value) -> impl Iterator<Item = usize> + use<'a> {
    let tag = value.get(&kinds.tag).and_then(Value::as_str);
    let named = kinds.kinds.iter().find(|(name, _)| Some(name.as_str()) == tag).map(|(_, rule)| *rule);
    let all = kinds.kinds.iter().map(|(_, rule)| *rule);
    all.filter(move |rule| named.is_none_or(|named| named == *rule))
}

fn of(rules: &[usize], below: impl Fn(usize) -> Option<usize>) -> Vec<usize> {
    rules.iter().filter_map(|&rule| below(rule)).collect()
}
