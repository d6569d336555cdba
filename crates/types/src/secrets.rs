//! The named secrets of a conversation, and where their values come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands for a secret wherever it is shown.
pub const MASK: &str = "**********";

/// What the address of a secret begins with that this server itself keeps for the tenant; its name there follows.
pub const KEPT_HERE: &str = "/api/settings/secrets/";

/// Characters of a name.
const MOST_NAME: usize = 64;

/// Whether a secret that is kept can have this name: that of a variable, which begins with a letter.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= MOST_NAME
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Where the value of a named secret comes from. In a stored record `value` and header values are sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind")]
pub enum SecretSource {
    StaticSecret {
        #[serde(default)]
        description: Option<String>,
        #[serde(default)]
        value: Option<String>,
    },
    LookupSecret {
        #[serde(default)]
        description: Option<String>,
        url: String,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
}

/// Bytes that one source may have. Every output is searched for each of the many shapes of a value.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024;
/// Sources that a conversation may have, and bytes of all of them together.
pub const MAX_SOURCES: usize = 1_000;
pub const MAX_SOURCES_BYTES: usize = 256 * 1024;

/// Whether a conversation may have these secrets, all of them and in plain text.
///
/// # Errors
/// A text that says what is too large, without values.
pub fn check_sources(sources: &BTreeMap<String, SecretSource>) -> Result<(), String> {
    if let Some((name, _)) = sources.iter().find(|(name, source)| source.bytes(name) > MAX_SOURCE_BYTES) {
        let name: String = name.chars().take(64).collect();
        return Err(format!("the secret `{name}` has more than {MAX_SOURCE_BYTES} bytes"));
    }
    if sources.len() > MAX_SOURCES {
        return Err(format!("a conversation may have at most {MAX_SOURCES} secrets"));
    }
    let bytes: usize = sources.iter().map(|(name, source)| source.bytes(name)).sum();
    if bytes > MAX_SOURCES_BYTES {
        return Err(format!(
            "the secrets of a conversation may have at most {MAX_SOURCES_BYTES} bytes together"
        ));
    }
    Ok(())
}

impl SecretSource {
    /// Of all its texts, and its name.
    fn bytes(&self, name: &str) -> usize {
        let texts = match self {
            Self::StaticSecret { value, .. } => value.as_ref().map_or(0, String::len),
            Self::LookupSecret { url, headers, .. } => {
                url.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            }
        };
        name.len() + texts + self.description().map_or(0, str::len)
    }

    #[must_use]
    pub fn description(&self) -> Option<&str> {
        match self {
            Self::StaticSecret { description, .. } | Self::LookupSecret { description, .. } => {
                description.as_deref()
            }
        }
    }

    /// The name under which this server itself keeps the value for the tenant, if it does.
    #[must_use]
    pub fn name_here(&self) -> Option<&str> {
        match self {
            Self::StaticSecret { .. } => None,
            Self::LookupSecret { url, .. } => url.strip_prefix(KEPT_HERE),
        }
    }

    /// As it may be shown: the mask in place of every value that is set.
    #[must_use]
    pub fn masked(&self) -> Self {
        match self {
            Self::StaticSecret { description, value } => Self::StaticSecret {
                description: description.clone(),
                value: value.as_ref().map(|_| MASK.to_owned()),
            },
            Self::LookupSecret { description, url, headers } => Self::LookupSecret {
                description: description.clone(),
                url: url.clone(),
                headers: headers.keys().map(|name| (name.clone(), MASK.to_owned())).collect(),
            },
        }
    }

    /// The forms a client may send: a bare text, `{"value": …}`, or a source with its `kind`.
    ///
    /// # Errors
    /// A text that says what is wrong, without the value.
    pub fn from_client(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::StaticSecret { description: None, value: Some(text) }),
            Value::Object(mut fields) => {
                if !fields.contains_key("kind") {
                    let kind = if fields.contains_key("url") { "LookupSecret" } else { "StaticSecret" };
                    fields.insert("kind".to_owned(), kind.into());
                }
                serde_json::from_value(Value::Object(fields)).map_err(|_| {
                    "a secret source is a StaticSecret {value} or a LookupSecret {url, headers}".to_owned()
                })
            }
            _ => Err("a secret is a text or a source object".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_secrets_are_those_of_variables() {
        assert!(is_name("TOKEN_1") && is_name("a"));
        for other in ["", "1A", "A-B", "../x", &"A".repeat(65)] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn secrets_that_are_too_large_or_too_many_are_refused_by_name_alone() {
        let of = |list: &[(&str, usize)]| {
            let source = |bytes: usize| {
                SecretSource::from_client(json!("s".repeat(bytes))).expect("a text is a source")
            };
            list.iter().map(|(name, bytes)| ((*name).to_owned(), source(*bytes))).collect()
        };
        let whole = MAX_SOURCE_BYTES - 1;
        assert_eq!(check_sources(&of(&[("A", whole), ("B", whole), ("C", whole)])), Ok(()));
        let why = check_sources(&of(&[("A", whole), ("LARGE", MAX_SOURCE_BYTES)])).expect_err("too large");
        assert!(why.contains("LARGE") && !why.contains("sss"), "{why}");
        let all = of(&[("A", whole), ("B", whole), ("C", whole), ("D", whole), ("E", whole)]);
        assert!(check_sources(&all).is_err());
        let many = (0..=MAX_SOURCES).map(|number| (number.to_string(), 1)).collect::<Vec<_>>();
        let many: Vec<_> = many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        assert!(check_sources(&of(&many)).is_err());
    }

    #[test]
    fn clients_may_send_a_bare_text() {
        let source = SecretSource::from_client(json!("v")).unwrap();
        assert_eq!(source, SecretSource::StaticSecret { description: None, value: Some("v".to_owned()) });
        assert!(SecretSource::from_client(json!(1)).is_err());
    }
}
