//! Reading a call's arguments: every complaint is collected, so that the model can mend them all at once.

use serde_json::{Map, Value};

/// Takes fields one by one out of the arguments of a call; [`Args::finish`] refuses what is left over.
///
/// `null` counts as absent. Numbers and booleans are also taken from text, as models often quote them.
pub struct Args<'a> {
    given: &'a Map<String, Value>,
    known: Vec<&'static str>,
    problems: Vec<String>,
}

impl<'a> Args<'a> {
    pub fn new(given: &'a Map<String, Value>) -> Self {
        Self { given, known: Vec::new(), problems: Vec::new() }
    }

    pub fn optional(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.given.get(name).filter(|value| !value.is_null())
    }

    /// Empty text stands in for a missing or wrong value; [`Args::finish`] fails then.
    pub fn text(&mut self, name: &'static str) -> String {
        if self.given.get(name).is_none_or(Value::is_null) {
            self.known.push(name);
            self.problem(format!("`{name}` is required (text)"));
            return String::new();
        }
        self.optional_text(name).unwrap_or_default()
    }

    pub fn optional_text(&mut self, name: &'static str) -> Option<String> {
        let value = self.optional(name)?;
        if let Some(text) = value.as_str() {
            return Some(text.to_owned());
        }
        self.wrong_type(name, "text", value);
        None
    }

    /// One of a few words.
    pub fn choice(&mut self, name: &'static str, choices: &[&str]) -> Option<String> {
        let text = self.optional_text(name)?;
        if choices.contains(&text.as_str()) {
            return Some(text);
        }
        self.problem(format!("`{name}` must be one of {}, not `{text}`", choices.join(", ")));
        None
    }

    pub fn flag(&mut self, name: &'static str) -> bool {
        let Some(value) = self.optional(name) else {
            return false;
        };
        match value {
            Value::Bool(flag) => return *flag,
            Value::String(text) if text.eq_ignore_ascii_case("true") => return true,
            Value::String(text) if text.eq_ignore_ascii_case("false") => return false,
            _ => self.wrong_type(name, "true or false", value),
        }
        false
    }

    /// A finite number, zero or more.
    pub fn amount(&mut self, name: &'static str) -> Option<f64> {
        let value = self.optional(name)?;
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|number| number.is_finite()) {
            Some(number) if number >= 0.0 => return Some(number),
            Some(_) => self.problem(format!("`{name}` must not be negative")),
            None => self.wrong_type(name, "a number", value),
        }
        None
    }

    /// A whole number, zero or more.
    pub fn count(&mut self, name: &'static str) -> Option<u64> {
        let value = self.optional(name)?;
        match whole(value) {
            Some(number) if number >= 0 => return u64::try_from(number).ok(),
            Some(_) => self.problem(format!("`{name}` must not be negative")),
            None => self.wrong_type(name, "a whole number", value),
        }
        None
    }

    pub fn whole_numbers(&mut self, name: &'static str) -> Option<Vec<i64>> {
        let value = self.optional(name)?;
        let numbers = value.as_array().and_then(|items| items.iter().map(whole).collect());
        if numbers.is_none() {
            self.wrong_type(name, "a list of whole numbers", value);
        }
        numbers
    }

    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    pub fn wrong_type(&mut self, name: &str, wanted: &str, got: &Value) {
        self.problem(format!("`{name}` must be {wanted}, not {}", type_name(got)));
    }

    /// # Errors
    /// Everything that was wrong, and every argument nobody asked for.
    pub fn finish(mut self) -> Result<(), String> {
        let unknown: Vec<String> = self
            .given
            .keys()
            .filter(|key| !self.known.contains(&key.as_str()))
            .map(|key| format!("`{key}`"))
            .collect();
        if !unknown.is_empty() {
            let taken = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
            self.problem(format!("unknown argument {} (this takes: {taken})", unknown.join(", ")));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems.join("; ")) }
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole_float(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole_float(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let given = json!({"cmd": "ls", "reset": [1], "timeout": -1});
        let mut args = Args::new(given.as_object().unwrap());
        args.text("command");
        args.flag("reset");
        args.amount("timeout");
        let problems = args.finish().unwrap_err();
        assert_eq!(
            problems,
            "`command` is required (text); `reset` must be true or false, not a list; \
             `timeout` must not be negative; unknown argument `cmd` (this takes: command, reset, timeout)"
        );
    }

    #[test]
    fn quoted_numbers_and_booleans_are_understood() {
        let given = json!({"reset": "True", "timeout": "2.5", "insert_line": 3.0, "x": null});
        let mut args = Args::new(given.as_object().unwrap());
        assert!(args.flag("reset"));
        assert_eq!(args.amount("timeout"), Some(2.5));
        assert_eq!(args.count("insert_line"), Some(3));
        assert_eq!(args.optional_text("x"), None);
        assert_eq!(args.finish(), Ok(()));
    }
}
