//! What an extension of the user interface says of itself: completed by its form, and held to the rules that no form can say.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use reqwest::Url;
use serde_json::{Map, Value};
use types::extensions::is_name;

/// It does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit;

const PLACEHOLDERS: [&str; 3] = ["port", "data_dir", "artifact_dir"];
const VARIABLES: [&str; 6] = ["LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ"];

/// # Errors
/// For what does not fit.
pub(super) fn checked(mut manifest: Value) -> Result<Value, Unfit> {
    prepare(&mut manifest);
    let mut manifest = forms::canvas_manifest().fill(manifest).map_err(|_| Unfit)?;
    let fields = manifest.as_object_mut().ok_or(Unfit)?;
    let is_whole = fields.get("schema_version") == Some(&1.into())
        && is_name(text(fields, "name"))
        && is_below(text(fields, "entrypoint"))
        && pages_fit(fields)
        && fields.get("backend").is_none_or(|backend| backend.is_null() || backend_fits(backend));
    if !is_whole {
        return Err(Unfit);
    }
    for name in ["backend", "icon"] {
        if fields.get(name).is_some_and(Value::is_null) {
            fields.shift_remove(name);
        }
    }
    Ok(manifest)
}

/// What is forgiven: an icon that is none, and an artifact that is only on a server.
fn prepare(manifest: &mut Value) {
    if let Some(icon) = manifest.get_mut("icon")
        && !icon.as_str().is_some_and(|icon| icon.ends_with(".svg") && is_below(icon))
    {
        *icon = Value::Null;
    }
    let artifacts = manifest.pointer_mut("/backend/artifacts").and_then(Value::as_object_mut);
    for artifact in artifacts.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        let has_url = artifact.get("url").and_then(Value::as_str).is_some_and(|url| !url.is_empty());
        if has_url && !artifact.contains_key("path") {
            artifact.insert("path".to_owned(), "".into());
        }
    }
}

fn pages_fit(fields: &Map<String, Value>) -> bool {
    let pages =
        fields.get("contributes").and_then(|contributes| contributes.get("pages")).and_then(Value::as_array);
    let (mut ids, mut paths) = (BTreeSet::new(), BTreeSet::new());
    let fits = |page: &Value| {
        let of = |name: &str| page.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (id, path) = (of("id"), of("path"));
        is_name(&id) && is_route(&path) && ids.insert(id) && paths.insert(path)
    };
    pages.is_none_or(|pages| pages.iter().all(fits))
}

fn backend_fits(backend: &Value) -> bool {
    let texts = |name: &str| -> Vec<&str> {
        let list = backend.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    };
    let (argv, variables) = (texts("argv"), texts("inherit_environment"));
    let artifacts = backend.get("artifacts").and_then(Value::as_object);
    argv.iter()
        .all(|argument| !argument.is_empty() && !argument.contains('\0') && placeholders_are_known(argument))
        && argv.first().is_some_and(|program| program.contains("{artifact_dir}"))
        && variables.iter().all(|name| VARIABLES.contains(name))
        && variables.iter().collect::<BTreeSet<_>>().len() == variables.len()
        && artifacts.is_some_and(|artifacts| artifacts.values().all(artifact_fits))
}

/// `{name}` in an argument.
fn placeholders_are_known(argument: &str) -> bool {
    let names = argument.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name);
    names.filter(|name| !name.is_empty()).all(|name| PLACEHOLDERS.contains(&name))
}

/// Either in the extension or on a server.
fn artifact_fits(artifact: &Value) -> bool {
    let path = artifact.get("path").and_then(Value::as_str).unwrap_or_default();
    let url = artifact.get("url").and_then(Value::as_str);
    let strips = artifact.get("strip_components").and_then(Value::as_u64).unwrap_or_default() > 0;
    match url {
        None => is_below(path) && path.ends_with(".tar.gz") && !strips,
        Some(url) => path.is_empty() && is_artifact_url(url),
    }
}

fn is_artifact_url(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.path().ends_with(".tar.gz")
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// `/dashboard/settings`.
fn is_route(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_name))
}

/// A path that goes down only.
fn is_below(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(change: impl FnOnce(&mut Value)) -> Value {
        let mut manifest = json!({
            "schema_version": 1, "name": "my-app", "display_name": "My App", "version": "1.0", "entrypoint": "dist/index.js",
            "contributes": {"pages": [{"id": "home", "title": "Home", "path": "/home/first-page"}]},
        });
        change(&mut manifest);
        manifest
    }

    fn fits(change: impl FnOnce(&mut Value)) -> bool {
        checked(manifest(change)).is_ok()
    }

    #[test]
    fn a_manifest_is_completed_as_the_peer_shows_it() {
        let whole = checked(manifest(|manifest| manifest["more"] = 1.into())).unwrap();
        let wanted = manifest(|manifest| manifest["description"] = "".into());
        assert_eq!(whole, wanted);
        let icon =
            |icon: Value| checked(manifest(|manifest| manifest["icon"] = icon)).unwrap().get("icon").cloned();
        assert_eq!(icon(json!("a.svg")), Some(json!("a.svg")));
        assert_eq!((icon(json!("a.png")), icon(json!(5)), icon(json!("../a.svg"))), (None, None, None));
    }

    #[test]
    fn what_leads_out_or_is_there_twice_does_not_fit() {
        assert!(fits(|_| {}));
        for entrypoint in ["", "/a.js", "../a.js", "a/../../b.js"] {
            assert!(!fits(|manifest| manifest["entrypoint"] = entrypoint.into()), "{entrypoint}");
        }
        for name in ["My-App", "a--b", "-a", "a/b", ""] {
            assert!(!fits(|manifest| manifest["name"] = name.into()), "{name}");
        }
        for path in ["home", "/Home", "/a//b", "/a/", "/"] {
            assert!(!fits(|manifest| manifest["contributes"]["pages"][0]["path"] = path.into()), "{path}");
        }
        assert!(!fits(|manifest| {
            let page = manifest["contributes"]["pages"][0].clone();
            manifest["contributes"]["pages"].as_array_mut().unwrap().push(page);
        }));
        assert!(!fits(|manifest| manifest["schema_version"] = 2.into()));
    }

    #[test]
    fn a_backend_runs_what_it_brings_along_and_inherits_little() {
        let backend = |change: fn(&mut Value)| {
            let artifact = json!({"path": "a.tar.gz", "sha256": "0".repeat(64)});
            let mut backend = json!({"schema_version": 1, "artifacts": {"linux-amd64": artifact},
                "argv": ["{artifact_dir}/run", "--port={port}"], "inherit_environment": ["PATH"]});
            change(&mut backend);
            fits(|manifest| manifest["backend"] = backend)
        };
        assert!(backend(|_| {}));
        assert!(!backend(|backend| backend["argv"][0] = "/bin/sh".into()));
        assert!(!backend(|backend| backend["argv"][1] = "{secret}".into()));
        assert!(!backend(|backend| backend["inherit_environment"] = json!(["OH_SECRET_KEY"])));
        assert!(!backend(|backend| backend["inherit_environment"] = json!(["PATH", "PATH"])));
        assert!(!backend(|backend| backend["artifacts"]["linux-amd64"]["path"] = "../a.tar.gz".into()));
        let remote = |url: &str| {
            let artifact = json!({"url": url, "sha256": "0".repeat(64), "strip_components": 1});
            let backend = json!({"schema_version": 1, "artifacts": {"linux-amd64": artifact}, "argv": ["{artifact_dir}/a"]});
            fits(|manifest| manifest["backend"] = backend)
        };
        assert!(remote("https://x.example/a.tar.gz"));
        for url in
            ["http://x.example/a.tar.gz", "https://u:p@x.example/a.tar.gz", "https://x.example/a.zip", "x"]
        {
            assert!(!remote(url), "{url}");
        }
    }
}
