//! Goes through a value and its rules together: what comes out is complete, and what does not fit is told.

use serde_json::{Map, Value};

use crate::rule::{Field, Others, Record, Rule};
use crate::text::counted;
use crate::trouble::{Fault, Step, Trouble};
use crate::{Form, number, text};

/// What is wrong beyond that is not looked for: a body can be wrong in a million places.
pub(crate) const MOST_TROUBLES: usize = 100;

impl Form {
    /// What does not fit is null in what comes out, and of no use. So is all that comes after [`MOST_TROUBLES`].
    pub(crate) fn fill_by(
        &self,
        rule: usize,
        given: Value,
        at: &mut Vec<Step>,
        troubles: &mut Vec<Trouble>,
    ) -> Value {
        let outcome = match self.rule(rule) {
            Rule::Any => Ok(given),
            Rule::Null if given.is_null() => Ok(given),
            Rule::Null => Err(Fault::new("none_required", "Input should be None")),
            Rule::Flag => number::flag(&given),
            Rule::Whole(bounds) => number::whole(&given, bounds),
            Rule::Number(bounds) => number::number(&given, bounds),
            Rule::Text(rule) => text::text(given, rule),
            Rule::Choice(values) => text::choice(given, values),
            Rule::List { items, least } => match given {
                Value::Array(given) => self.fill_list(*items, *least, given, at, troubles),
                _ => Err(Fault::wanted("list_type", "list")),
            },
            Rule::Map { values, least, names } => match given {
                Value::Object(given) => self.fill_map(*values, *least, names.as_deref(), given, at, troubles),
                _ => Err(Fault::wanted("dict_type", "dictionary")),
            },
            Rule::Record(record) => match given {
                Value::Object(given) => Ok(self.fill_record(record, given, at, troubles)),
                _ => Err(Fault::object()),
            },
            Rule::Kinds(kinds) => match self.kind_of(kinds, &given) {
                Ok(kind) => return self.fill_by(kind, given, at, troubles),
                Err(fault) => Err(fault),
            },
            Rule::Either(rules) => return self.fill_either(rules, given, at, troubles),
            Rule::Same(rule) => return self.fill_by(*rule, given, at, troubles),
        };
        outcome.unwrap_or_else(|fault| {
            troubles.push(fault.at(at));
            Value::Null
        })
    }

    fn fill_list(
        &self,
        items: usize,
        least: usize,
        given: Vec<Value>,
        at: &mut Vec<Step>,
        troubles: &mut Vec<Trouble>,
    ) -> Result<Value, Fault> {
        check_size("List", given.len(), least)?;
        let mut filled = Vec::with_capacity(given.len());
        for (index, item) in given.into_iter().enumerate() {
            if troubles.len() >= MOST_TROUBLES {
                break;
            }
            filled.push(self.fill_below(Step::Index(index), items, item, at, troubles));
        }
        Ok(filled.into())
    }

    fn fill_map(
        &self,
        values: usize,
        least: usize,
        names: Option<&[String]>,
        given: Map<String, Value>,
        at: &mut Vec<Step>,
        troubles: &mut Vec<Trouble>,
    ) -> Result<Value, Fault> {
        check_size("Dictionary", given.len(), least)?;
        let mut filled = Map::new();
        for (name, value) in given {
            if troubles.len() >= MOST_TROUBLES {
                break;
            }
            if names.is_some_and(|names| !names.contains(&name)) {
                let known: Vec<Value> =
                    names.iter().copied().flatten().map(|name| name.as_str().into()).collect();
                let refused = text::choice(name.as_str().into(), &known).err();
                let steps = [at.as_slice(), &[Step::Field(name), Step::Field("[key]".to_owned())]].concat();
                troubles.extend(refused.map(|fault| fault.at(&steps)));
                continue;
            }
            let value = self.fill_below(Step::Field(name.clone()), values, value, at, troubles);
            filled.insert(name, value);
        }
        Ok(filled.into())
    }

    /// In the order of the form; what has no name in it comes last.
    fn fill_record(
        &self,
        record: &Record,
        mut given: Map<String, Value>,
        at: &mut Vec<Step>,
        troubles: &mut Vec<Trouble>,
    ) -> Value {
        let mut filled = Map::new();
        for field in &record.fields {
            let value = match (&field.always, given.shift_remove(&field.name)) {
                (Some(always), _) => Some(always.clone()),
                (None, Some(value)) => {
                    Some(self.fill_below(Step::Field(field.name.clone()), field.rule, value, at, troubles))
                }
                (None, None) if field.is_required => {
                    let steps = [at.as_slice(), &[Step::Field(field.name.clone())]].concat();
                    troubles.push(Fault::missing().at(&steps));
                    None
                }
                (None, None) => self.default_of(field),
            };
            if let Some(value) = value.filter(|_| !field.is_hidden) {
                filled.insert(field.name.clone(), value);
            }
        }
        match record.others {
            Others::Dropped => {}
            Others::Kept => filled.extend(given),
            Others::Refused => troubles.extend(
                given
                    .into_iter()
                    .take(MOST_TROUBLES)
                    .map(|(name, _)| Fault::extra().at(&[at.as_slice(), &[Step::Field(name)]].concat())),
            ),
        }
        filled.into()
    }

    fn fill_below(
        &self,
        step: Step,
        rule: usize,
        given: Value,
        at: &mut Vec<Step>,
        troubles: &mut Vec<Trouble>,
    ) -> Value {
        at.push(step);
        let filled = self.fill_by(rule, given, at, troubles);
        at.pop();
        filled
    }

    /// `None`: the field stays away.
    fn default_of(&self, field: &Field) -> Option<Value> {
        match &field.default {
            // A default is given as it is written: its own fields may be left out, and it is not checked.
            Some(default) => {
                let filled = self.fill_by(field.rule, default.clone(), &mut Vec::new(), &mut Vec::new());
                Some(if filled.is_null() { default.clone() } else { filled })
            }
            None => self.empty(field.rule),
        }
    }

    /// Lists, maps and records are made where the schema names no default.
    fn empty(&self, rule: usize) -> Option<Value> {
        match self.rule(rule) {
            Rule::List { .. } => Some(Value::Array(Vec::new())),
            Rule::Map { .. } => Some(Map::new().into()),
            Rule::Record(record) => {
                Some(self.fill_record(record, Map::new(), &mut Vec::new(), &mut Vec::new()))
            }
            Rule::Kinds(kinds) if kinds.has_first => {
                kinds.kinds.first().and_then(|(_, rule)| self.empty(*rule))
            }
            Rule::Same(rule) => self.empty(*rule),
            _ => None,
        }
    }
}

fn check_size(noun: &str, size: usize, least: usize) -> Result<(), Fault> {
    if size >= least {
        return Ok(());
    }
    let says = format!("{noun} should have at least {} after validation, not {size}", counted(least, "item"));
    let bounds = serde_json::json!({"field_type": noun, "min_length": least, "actual_length": size});
    Err(Fault { bounds: Some(bounds), ..Fault::new("too_short", says) })
}
