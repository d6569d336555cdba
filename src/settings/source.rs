//! Where settings come from: the environment first, then the JSON file. A list or value of a higher source
//! replaces the lower one's whole. What may be read, and in which bounds, is in the [`table`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::Invalid;
use super::table::{self, Kind, NAME_CHARS, Setting};

#[derive(Clone)]
pub struct Source {
    environment: BTreeMap<String, String>,
    file: Value,
}

impl Source {
    /// `file` is the parsed config file, or an empty object.
    pub fn new(environment: BTreeMap<String, String>, file: Value) -> Self {
        Self { environment, file }
    }

    /// A variable outside the `OH_` scheme; empty or blank counts as unset.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|text| !text.trim().is_empty())
    }

    /// Sets a variable over what it was.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub fn unset_variable(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// Says a setting over all that was said of it: the items of a list as a JSON array.
    pub fn set(&mut self, field: &str, value: &str) {
        let variable = variable_of(field);
        let below = format!("{variable}_");
        let is_part = |rest: &str| rest == "IS_NONE" || rest.starts_with(|c: char| c.is_ascii_digit());
        self.environment.retain(|name, _| !name.strip_prefix(&below).is_some_and(is_part));
        self.environment.insert(variable, value.to_owned());
    }

    /// Whether a text is given that is blank, which counts as none.
    pub fn is_blank(&self, field: &str) -> bool {
        let given = self.environment.get(&variable_of(field)).map(String::as_str);
        let given = given.or_else(|| self.file.get(field).and_then(Value::as_str));
        given.is_some_and(|text| text.trim().is_empty())
    }

    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    pub(super) fn file(&self) -> &Value {
        &self.file
    }

    /// `field` is in lower case: `secret_key` is `OH_SECRET_KEY`, or `secret_key` in the file. Empty counts as unset.
    pub fn text(&self, field: &str) -> Result<Option<String>, Invalid> {
        let setting = described(field)?;
        let text = self.given(field)?.filter(|text| !text.trim().is_empty());
        match text {
            Some(text) if setting.kind == Kind::Name && !is_name(&text) => {
                let what = format!(
                    "must be 1 to {NAME_CHARS} letters, digits, '_', '.' or '-', and begin with a letter or digit"
                );
                Err(Invalid::new(field, what))
            }
            text => Ok(text),
        }
    }

    fn given(&self, field: &str) -> Result<Option<String>, Invalid> {
        if self.is_none(field)? {
            return Ok(None);
        }
        if let Some(text) = self.variable(&variable_of(field)) {
            return Ok(Some(text.to_owned()));
        }
        match self.file.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(other.to_string())),
            Some(_) => Err(Invalid::new(field, "must be a text")),
        }
    }

    /// A whole number in the bounds of its setting.
    pub fn whole(&self, field: &str) -> Result<Option<u64>, Invalid> {
        let Kind::Whole { least, most } = described(field)?.kind else { return Err(not_described(field)) };
        let Some(text) = self.text(field)? else { return Ok(None) };
        let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
        let wrong = || Invalid::new(field, format!("must be a whole number from {least} to {most}"));
        number.map(Some).ok_or_else(wrong)
    }

    /// A number in the bounds of its setting.
    pub fn amount(&self, field: &str) -> Result<Option<f64>, Invalid> {
        let Kind::Amount { least, most } = described(field)?.kind else { return Err(not_described(field)) };
        let Some(text) = self.text(field)? else { return Ok(None) };
        let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
        let wrong = || Invalid::new(field, format!("must be a number from {least} to {most}"));
        number.map(Some).ok_or_else(wrong)
    }

    pub fn flag(&self, field: &str) -> Result<Option<bool>, Invalid> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        parse_flag(&text).map(Some).ok_or_else(|| Invalid::new(field, "must be true, false, 1 or 0"))
    }

    /// One of the words of its setting.
    pub fn choice(&self, field: &str) -> Result<Option<&'static str>, Invalid> {
        let Kind::Choice(choices) = described(field)?.kind else { return Err(not_described(field)) };
        let Some(text) = self.text(field)? else { return Ok(None) };
        let chosen = choices.iter().find(|choice| choice.eq_ignore_ascii_case(text.trim()));
        chosen
            .copied()
            .map(Some)
            .ok_or_else(|| Invalid::new(field, format!("must be one of: {}", choices.join(", "))))
    }

    /// `OH_LIST_0`, `OH_LIST_1` and so on, or `OH_LIST` as a JSON array; else the file's.
    ///
    /// # Errors
    /// Also for a number whose predecessor is not there: whoever dropped that one meant to keep the rest.
    pub fn list(&self, field: &str) -> Result<Vec<String>, Invalid> {
        if described(field)?.kind != Kind::List {
            return Err(not_described(field));
        }
        let numbered = self.numbered(field)?;
        if !numbered.is_empty() {
            return Ok(numbered);
        }
        match self.variable(&variable_of(field)) {
            None => array_of_texts(field, self.file.get(field)),
            // A count, beside variables with numbers of which none is set.
            Some(text) if text.trim().parse::<usize>().is_ok() => Ok(numbered),
            Some(text) => {
                let array = serde_json::from_str(text)
                    .map_err(|_| Invalid::new(field, "must be a JSON array of texts"))?;
                array_of_texts(field, Some(&array))
            }
        }
    }

    fn numbered(&self, field: &str) -> Result<Vec<String>, Invalid> {
        let prefix = format!("{}_", variable_of(field));
        let of_list =
            self.environment.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        let set: BTreeMap<usize, &String> = of_list
            .filter(|(_, text)| !text.trim().is_empty())
            .filter_map(|(name, text)| Some((name.strip_prefix(&prefix)?.parse().ok()?, text)))
            .collect();
        check_no_gap(&prefix, set.keys())?;
        Ok(set.into_values().cloned().collect())
    }

    pub(super) fn is_none(&self, field: &str) -> Result<bool, Invalid> {
        let Some(text) = self.environment.get(&format!("{}_IS_NONE", variable_of(field))) else {
            return Ok(false);
        };
        parse_flag(text)
            .ok_or_else(|| Invalid::new(field, "its _IS_NONE variable must be true, false, 1 or 0"))
    }
}

pub(super) fn variable_of(field: &str) -> String {
    format!("OH_{}", field.to_uppercase())
}

/// Whether the numbers behind `prefix` go on from 0: whoever dropped one of them meant to keep the rest.
pub(super) fn check_no_gap<'a>(
    prefix: &str,
    numbers: impl Iterator<Item = &'a usize>,
) -> Result<(), Invalid> {
    let Some((number, expected)) = numbers.zip(0..).find(|(number, expected)| **number != *expected) else {
        return Ok(());
    };
    let what = format!("is set and {prefix}{expected} is not: the numbers go on from 0 without a gap");
    Err(Invalid::named(format!("{prefix}{number}"), what))
}

/// What is not in the table cannot be read: it would be in no document and under no rule.
fn described(field: &str) -> Result<&'static Setting, Invalid> {
    table::find(field).ok_or_else(|| not_described(field))
}

fn not_described(field: &str) -> Invalid {
    Invalid::new(field, "is not in the table of settings as it is read")
}

fn is_name(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.len() <= NAME_CHARS
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(inside)
}

fn parse_flag(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

fn array_of_texts(field: &str, value: Option<&Value>) -> Result<Vec<String>, Invalid> {
    let items = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Invalid::new(field, "must be a list of texts")),
    };
    let texts = items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    let mut texts = texts.ok_or_else(|| Invalid::new(field, "must be a list of texts"))?;
    texts.retain(|text| !text.trim().is_empty());
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(variables: &[(&str, &str)], file: Value) -> Source {
        Source::new(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), file)
    }

    #[test]
    fn a_list_of_the_environment_replaces_the_files_whole() {
        let both = source(&[("OH_SESSION_API_KEYS_0", "new")], json!({"session_api_keys": ["old", "older"]}));
        assert_eq!(both.list("session_api_keys").unwrap(), ["new"]);
        let file = source(&[], json!({"session_api_keys": ["old"]}));
        assert_eq!(file.list("session_api_keys").unwrap(), ["old"]);
    }

    #[test]
    fn a_list_of_the_environment_may_be_longer_than_the_files() {
        let numbered: Vec<_> = (0..12).map(|n| (format!("OH_SESSION_API_KEYS_{n}"), n.to_string())).collect();
        let numbered: Vec<_> = numbered.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for file in [json!([]), json!(["old"]), json!(["old", "older"]), Value::Null] {
            let both = source(&numbered, json!({"session_api_keys": file}));
            let keys = both.list("session_api_keys").unwrap();
            assert_eq!(keys, (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lists_come_as_json_or_numbered() {
        let origins = |variables: &[(&str, &str)]| source(variables, json!({})).list("allow_cors_origins");
        assert_eq!(origins(&[("OH_ALLOW_CORS_ORIGINS", r#"["a","b",""]"#)]).unwrap(), ["a", "b"]);
        let counted = [
            ("OH_ALLOW_CORS_ORIGINS", "2"),
            ("OH_ALLOW_CORS_ORIGINS_0", "a"),
            ("OH_ALLOW_CORS_ORIGINS_1", "b"),
        ];
        assert_eq!(origins(&counted).unwrap(), ["a", "b"]);
        assert!(origins(&[("OH_ALLOW_CORS_ORIGINS", "a,b")]).is_err());
        let eleven: Vec<_> = (0..11).map(|i| (format!("OH_ALLOW_CORS_ORIGINS_{i}"), i.to_string())).collect();
        let eleven: Vec<_> = eleven.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(origins(&eleven).unwrap().last().unwrap(), "10");
    }

    #[test]
    fn a_gap_in_a_numbered_list_is_refused_and_never_drops_what_follows() {
        for variables in [
            &[("OH_SESSION_API_KEYS_1", "sk-new")][..],
            &[("OH_SESSION_API_KEYS_0", ""), ("OH_SESSION_API_KEYS_1", "sk-new")],
            &[("OH_SESSION_API_KEYS_0", "sk-old"), ("OH_SESSION_API_KEYS_2", "sk-new")],
        ] {
            let text = source(variables, json!({})).list("session_api_keys").unwrap_err().to_string();
            assert!(text.starts_with("OH_SESSION_API_KEYS_") && !text.contains("sk-"), "{text}");
        }
    }

    #[test]
    fn an_empty_value_is_an_unset_one_for_every_setting() {
        let file = json!({"jwt_previous_secrets": [""], "session_api_keys": [" "]});
        for setting in table::all() {
            let variable = variable_of(setting.field);
            for empty in ["", " "] {
                let empty = source(&[(&variable, empty), (&format!("{variable}_0"), empty)], file.clone());
                let field = setting.field;
                match setting.kind {
                    Kind::Text | Kind::Path | Kind::Name => assert_eq!(empty.text(field).unwrap(), None),
                    Kind::Flag => assert_eq!(empty.flag(field).unwrap(), None),
                    Kind::Choice(_) => assert_eq!(empty.choice(field).unwrap(), None),
                    Kind::List => assert_eq!(empty.list(field).unwrap(), [""; 0]),
                    Kind::Objects(_) => assert!(empty.objects(field).unwrap().is_empty()),
                    Kind::Whole { .. } => assert_eq!(empty.whole(field).unwrap(), None),
                    Kind::Amount { .. } => assert_eq!(empty.amount(field).unwrap(), None),
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name_and_never_shown() {
        for setting in table::all() {
            let wrong: &[&str] = match setting.kind {
                Kind::Whole { least: 0, .. } => &["-1", "1.5", "NaN", "many", "99999999999999999999"],
                Kind::Whole { .. } => &["0", "-1", "1.5", "many", "18446744073709551615"],
                Kind::Amount { .. } => &["0", "-1", "NaN", "inf", "1e300", "many"],
                Kind::Flag => &["yes", "2"],
                Kind::Choice(_) => &["bogus"],
                Kind::Name => &["a b", "-a", "a/b", "é", "0123456789012345678901234567890123456789x"],
                Kind::Text | Kind::Path | Kind::List | Kind::Objects(_) => &[],
            };
            for value in wrong {
                let variable = variable_of(setting.field);
                let source = source(&[(&variable, value)], json!({}));
                let refused = match setting.kind {
                    Kind::Whole { .. } => source.whole(setting.field).err(),
                    Kind::Amount { .. } => source.amount(setting.field).err(),
                    Kind::Flag => source.flag(setting.field).err(),
                    Kind::Choice(_) => source.choice(setting.field).err(),
                    _ => source.text(setting.field).err(),
                };
                let text = refused.unwrap_or_else(|| panic!("{variable}={value} was taken")).to_string();
                assert!(text.starts_with(&variable), "{text}");
                assert!(!text.contains("many") && !text.contains("bogus"), "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_cannot_be_read() {
        assert!(source(&[], json!({})).text("something_new").is_err());
        assert!(source(&[], json!({})).whole("secret_key").is_err());
    }

    #[test]
    fn what_is_set_later_stands_in_the_place_of_all_that_was_said() {
        let variables =
            [("OH_ALLOW_CORS_ORIGINS_0", "a"), ("OH_ALLOW_CORS_ORIGINS_1", "b"), ("OH_WEB_URL_IS_NONE", "1")];
        let mut later = source(&variables, json!({"web_url": "https://file"}));
        later.set("allow_cors_origins", r#"["c"]"#);
        later.set("web_url", "https://later");
        assert_eq!(later.list("allow_cors_origins").unwrap(), ["c"]);
        assert_eq!(later.text("web_url").unwrap().as_deref(), Some("https://later"));
        later.set("allow_cors_origins", "[]");
        assert_eq!(later.list("allow_cors_origins").unwrap(), [""; 0]);
    }

    #[test]
    fn is_none_unsets_what_the_file_says() {
        let source = source(&[("OH_WEB_URL_IS_NONE", "1")], json!({"web_url": "https://x"}));
        assert_eq!(source.text("web_url").unwrap(), None);
    }
}
