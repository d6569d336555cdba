//! Places that take several kinds of values.

use serde_json::Value;

use crate::Form;
use crate::rule::{Kinds, Rule};
use crate::trouble::{Fault, Step, Trouble};

impl Form {
    /// The rule of an object by its tag.
    pub(crate) fn kind_of(&self, kinds: &Kinds, given: &Value) -> Result<usize, Fault> {
        let Value::Object(fields) = given else { return Err(Fault::object()) };
        let tag = match fields.get(&kinds.tag) {
            Some(tag) => tag.as_str().unwrap_or_default(),
            None if kinds.has_first => {
                return kinds.kinds.first().map(|(_, rule)| *rule).ok_or_else(Fault::object);
            }
            None => {
                let says = format!("Unable to extract tag using discriminator '{}'", kinds.tag);
                let name = format!("'{}'", kinds.tag);
                return Err(Fault::bounded("union_tag_not_found", says, "discriminator", name));
            }
        };
        let found = kinds.kinds.iter().find(|(name, _)| name == tag);
        found.map(|(_, rule)| *rule).ok_or_else(|| {
            let names: Vec<String> = kinds.kinds.iter().map(|(name, _)| format!("'{name}'")).collect();
            let (tag, names) = (&kinds.tag, names.join(", "));
            let says =
                format!("Input tag found using '{tag}' does not match any of the expected tags: {names}");
            Fault::bounded("union_tag_invalid", says, "expected_tags", names)
        })
    }

    /// Those first that take the value's type as it is: a text where texts and flags may be is a text.
    pub(crate) fn fill_either(
        &self,
        rules: &[usize],
        given: Value,
        at: &mut Vec<Step>,
        troubles: &mut Vec<Trouble>,
    ) -> Value {
        let (exact, lax): (Vec<usize>, Vec<usize>) =
            rules.iter().partition(|&&rule| self.has_type(rule, &given));
        let mut first_troubles = None;
        for rule in exact.iter().chain(&lax) {
            let mut found = Vec::new();
            let filled = self.fill_by(*rule, given.clone(), at, &mut found);
            if found.is_empty() {
                return filled;
            }
            // That it is not null is no news to who has sent something else.
            if !matches!(self.rule(*rule), Rule::Null) {
                first_troubles.get_or_insert(found);
            }
        }
        troubles.extend(first_troubles.unwrap_or_default());
        Value::Null
    }

    fn has_type(&self, rule: usize, given: &Value) -> bool {
        match self.rule(rule) {
            Rule::Any => true,
            Rule::Null => given.is_null(),
            Rule::Flag => given.is_boolean(),
            Rule::Whole(_) => given.is_i64() || given.is_u64(),
            Rule::Number(_) => given.is_number(),
            Rule::Text(_) => given.is_string(),
            Rule::Choice(values) => values.contains(given),
            Rule::List { .. } => given.is_array(),
            Rule::Map { .. } | Rule::Record(_) | Rule::Kinds(_) => given.is_object(),
            Rule::Either(rules) => rules.iter().any(|&rule| self.has_type(rule, given)),
            Rule::Same(rule) => self.has_type(*rule, given),
        }
    }
}
