//! The catalogues of skills that the settings name.

use gateway::config::check_repo_path;
use serde_json::Value;
use types::calls::Marketplace;

use super::objects::Object;
use super::{Invalid, Source};

/// Each of them may be a repository that is fetched for one call.
const MOST: usize = 8;

/// Those of which something is loaded.
///
/// # Errors
/// What cannot be used; never its value.
pub fn read(source: &Source) -> Result<Vec<Marketplace>, Invalid> {
    let all = source.objects("registered_marketplaces")?;
    if all.len() > MOST {
        return Err(Invalid::new("registered_marketplaces", format!("may have at most {MOST} items")));
    }
    all.iter().filter_map(|object| marketplace(object).transpose()).collect()
}

fn marketplace(object: &Object) -> Result<Option<Marketplace>, Invalid> {
    let text = |field: &str| object.text(field).map(|text| text.map(str::to_owned));
    let needed =
        |field: &str| text(field).and_then(|text| text.ok_or_else(|| object.invalid(field, "is not set")));
    let repo_path = text("repo_path")?;
    if let Some(path) = &repo_path {
        check_repo_path(path).map_err(|what| object.invalid("repo_path", what))?;
    }
    let (name, source) = (needed("name")?, needed("source")?);
    if holds_a_key(&source) {
        let what = "must not have a user, a password or a token in it: programs of agents could read it";
        return Err(object.invalid("source", what));
    }
    let only = match loaded(object)? {
        Loaded::None => return Ok(None),
        Loaded::All => None,
        Loaded::Some(names) => Some(names),
    };
    Ok(Some(Marketplace { name, source, reference: text("ref")?, repo_path, only }))
}

/// Whether the address holds what opens it. `git@host:path`, and the same as `ssh://`, says only how to sign in.
fn holds_a_key(source: &str) -> bool {
    let Some((scheme, rest)) = source.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_harmless =
        |(user, _): (&str, &str)| scheme.to_ascii_lowercase().ends_with("ssh") && !user.contains(':');
    rest.contains('?') || !authority.rsplit_once('@').is_none_or(is_harmless)
}

/// Which skills of it.
enum Loaded {
    None,
    All,
    Some(Vec<String>),
}

fn loaded(object: &Object) -> Result<Loaded, Invalid> {
    let given = match object.value("auto_load") {
        None => return Ok(Loaded::None),
        Some(Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "1" => Value::Bool(true),
            "0" => Value::Bool(false),
            lower @ ("true" | "false") => Value::Bool(lower == "true"),
            _ => serde_json::from_str(text).unwrap_or_default(),
        },
        Some(value) => value.clone(),
    };
    let wrong = || object.invalid("auto_load", "must be true, false or a JSON array of names");
    match given {
        Value::Bool(all) => Ok(if all { Loaded::All } else { Loaded::None }),
        Value::Array(names) if names.is_empty() => Ok(Loaded::None),
        names @ Value::Array(_) => serde_json::from_value(names).map(Loaded::Some).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn marketplaces(variables: &[(&str, &str)], file: Value) -> Result<Vec<Marketplace>, Invalid> {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        read(&Source::new(environment, file))
    }

    #[test]
    fn catalogues_come_numbered_as_json_or_from_the_file() {
        let named = |name: &str, only: Option<&[&str]>| Marketplace {
            name: name.to_owned(),
            source: "github:o/r".to_owned(),
            reference: (name == "b").then(|| "v1".to_owned()),
            repo_path: (name == "b").then(|| "sub/folder".to_owned()),
            only: only.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        };
        let wanted = [named("a", None), named("b", Some(&["One", "two"]))];
        let numbered = [
            ("OH_REGISTERED_MARKETPLACES_0_NAME", "a"),
            ("OH_REGISTERED_MARKETPLACES_0_SOURCE", "github:o/r"),
            ("OH_REGISTERED_MARKETPLACES_0_AUTO_LOAD", "True"),
            ("OH_REGISTERED_MARKETPLACES_1_NAME", "b"),
            ("OH_REGISTERED_MARKETPLACES_1_SOURCE", "github:o/r"),
            ("OH_REGISTERED_MARKETPLACES_1_REF", "v1"),
            ("OH_REGISTERED_MARKETPLACES_1_REPO_PATH", "sub/folder"),
            ("OH_REGISTERED_MARKETPLACES_1_AUTO_LOAD", r#"["One","two"]"#),
            ("OH_REGISTERED_MARKETPLACES_2_NAME", "nothing of it is loaded"),
            ("OH_REGISTERED_MARKETPLACES_2_SOURCE", "github:o/r"),
        ];
        assert!(marketplaces(&numbered, json!({})).unwrap() == wanted);
        let list = json!([{"name": "a", "source": "github:o/r", "auto_load": true},
            {"name": "b", "source": "github:o/r", "ref": "v1", "repo_path": "sub/folder", "auto_load": ["One", "two"]},
            {"name": "c", "source": "github:o/r", "auto_load": []}]);
        assert!(
            marketplaces(&[("OH_REGISTERED_MARKETPLACES", &list.to_string())], json!({})).unwrap() == wanted
        );
        assert!(marketplaces(&[], json!({ "registered_marketplaces": list })).unwrap() == wanted);
    }

    #[test]
    fn what_cannot_be_meant_of_a_catalogue_is_refused_by_its_name_and_never_shown() {
        let base = [
            ("OH_REGISTERED_MARKETPLACES_0_NAME", "a"),
            ("OH_REGISTERED_MARKETPLACES_0_SOURCE", "value-of-it"),
        ];
        for (field, value) in
            [("REPO_PATH", "../value-of-it"), ("REPO_PATH", "/x"), ("AUTO_LOAD", "value-of-it")]
        {
            let variable = format!("OH_REGISTERED_MARKETPLACES_0_{field}");
            let text =
                marketplaces(&[base[0], base[1], (&variable, value)], json!({})).err().unwrap().to_string();
            assert!(text.starts_with(&variable) && !text.contains("value-of-it"), "{text}");
        }
        for source in [
            "https://user:value-of-it@host/r",
            "https://value-of-it@host/r",
            "ssh://git:value-of-it@host/r",
            "https://host/r?token=value-of-it",
        ] {
            let variable = "OH_REGISTERED_MARKETPLACES_0_SOURCE";
            let text = marketplaces(&[base[0], (variable, source)], json!({})).err().unwrap().to_string();
            assert!(text.starts_with(variable) && !text.contains("value-of-it"), "{text}");
        }
        for source in ["git@host:o/r", "ssh://git@host/o/r", "https://host/o@1/r", "/folder"] {
            assert!(
                marketplaces(&[base[0], ("OH_REGISTERED_MARKETPLACES_0_SOURCE", source)], json!({})).is_ok()
            );
        }
        let many = vec![json!({"name": "n", "source": "s"}); MOST + 1];
        assert!(marketplaces(&[], json!({ "registered_marketplaces": many })).is_err());
        assert!(marketplaces(&base[1..], json!({})).is_err() && marketplaces(&base[..1], json!({})).is_err());
    }
}
