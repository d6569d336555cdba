//! Where settings come from: the environment first, then the JSON file. A list or value of a higher source
//! replaces the lower one's whole.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use super::Invalid;

pub struct Source {
    environment: BTreeMap<String, String>,
    file: Value,
}

impl Source {
    /// `file` is the parsed config file, or an empty object.
    pub fn new(environment: BTreeMap<String, String>, file: Value) -> Self {
        Self { environment, file }
    }

    /// A variable outside the `OH_` scheme; empty counts as unset.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// `field` is in lower case: `secret_key` is `OH_SECRET_KEY`, or `secret_key` in the file.
    pub fn text(&self, field: &str) -> Result<Option<String>, Invalid> {
        if self.is_none(field)? {
            return Ok(None);
        }
        if let Some(text) = self.environment.get(&variable_of(field)) {
            return Ok(Some(text.clone()));
        }
        match self.file.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(other.to_string())),
            Some(_) => Err(Invalid::new(field, "must be a text")),
        }
    }

    pub fn number<T>(&self, field: &str) -> Result<Option<T>, Invalid>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(text) = self.text(field)? else { return Ok(None) };
        text.trim()
            .parse()
            .map(Some)
            .map_err(|error| Invalid::new(field, format!("is not a number in range: {error}")))
    }

    pub fn flag(&self, field: &str) -> Result<Option<bool>, Invalid> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        parse_flag(&text).map(Some).ok_or_else(|| Invalid::new(field, "must be true, false, 1 or 0"))
    }

    /// One of `choices`, in lower case.
    pub fn choice<'a>(&self, field: &str, choices: &[&'a str]) -> Result<Option<&'a str>, Invalid> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let chosen = choices.iter().find(|choice| choice.eq_ignore_ascii_case(text.trim()));
        chosen
            .copied()
            .map(Some)
            .ok_or_else(|| Invalid::new(field, format!("must be one of: {}", choices.join(", "))))
    }

    /// `OH_LIST` as a JSON array or a count, or `OH_LIST_0`, `OH_LIST_1` … up to the first gap; else the file's.
    pub fn list(&self, field: &str) -> Result<Vec<String>, Invalid> {
        let name = variable_of(field);
        let numbered =
            (0..).map_while(|i| self.environment.get(&format!("{name}_{i}")).cloned()).collect::<Vec<_>>();
        if !numbered.is_empty() {
            return Ok(numbered);
        }
        match self.environment.get(&name).map(String::as_str) {
            None | Some("") => array_of_texts(field, self.file.get(field)),
            Some(text) if text.trim().parse::<usize>().is_ok() => Ok(numbered),
            Some(text) => {
                let array = serde_json::from_str(text)
                    .map_err(|_| Invalid::new(field, "must be a JSON array of texts"))?;
                array_of_texts(field, Some(&array))
            }
        }
    }

    fn is_none(&self, field: &str) -> Result<bool, Invalid> {
        let Some(text) = self.environment.get(&format!("{}_IS_NONE", variable_of(field))) else {
            return Ok(false);
        };
        parse_flag(text)
            .ok_or_else(|| Invalid::new(field, "its _IS_NONE variable must be true, false, 1 or 0"))
    }
}

fn variable_of(field: &str) -> String {
    format!("OH_{}", field.to_uppercase())
}

fn parse_flag(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "true" => Some(true),
        "0" | "false" | "" => Some(false),
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
    texts.ok_or_else(|| Invalid::new(field, "must be a list of texts"))
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
    fn lists_come_as_json_or_numbered_up_to_the_first_gap() {
        let json = source(&[("OH_ALLOW_CORS_ORIGINS", r#"["a","b"]"#)], json!({}));
        assert_eq!(json.list("allow_cors_origins").unwrap(), ["a", "b"]);
        let gap = source(&[("OH_X", "3"), ("OH_X_0", "a"), ("OH_X_2", "c")], json!({}));
        assert_eq!(gap.list("x").unwrap(), ["a"]);
        assert!(source(&[("OH_X", "a,b")], json!({})).list("x").is_err());
    }

    #[test]
    fn wrong_values_are_refused_by_name_and_never_shown() {
        let wrong = source(&[("OH_A", "yes"), ("OH_B", "many"), ("OH_C", "bogus")], json!({}));
        assert!(wrong.flag("a").unwrap_err().to_string().contains("OH_A"));
        assert!(wrong.number::<u32>("b").is_err());
        assert!(!wrong.choice("c", &["local"]).unwrap_err().to_string().contains("bogus"));
    }

    #[test]
    fn is_none_unsets_what_the_file_says() {
        let source = source(&[("OH_WEB_URL_IS_NONE", "1")], json!({"web_url": "https://x"}));
        assert_eq!(source.text("web_url").unwrap(), None);
    }
}
