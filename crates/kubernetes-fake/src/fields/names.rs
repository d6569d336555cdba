//! What names, labels and annotations can be.

use serde_json::Value;

use crate::kinds::Kind;
use crate::status::Cause;
use crate::value::Look;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// All annotations together.
const ANNOTATION_BYTES: usize = 256 * 1024;

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Why it is no RFC 1123 label.
pub fn label(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!is_label(text)).then(|| LABEL.to_owned())
}

fn subdomain(text: &str) -> Option<String> {
    if text.len() > 253 {
        return Some("must be no more than 253 bytes".to_owned());
    }
    (!text.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned())
}

fn label_1035(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    (!is_label(text) || !begins).then(|| LABEL_1035.to_owned())
}

fn is_name_part(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |c: char| c.is_ascii_alphanumeric();
    !text.is_empty() && text.chars().all(inner) && text.starts_with(ends) && text.ends_with(ends)
}

fn label_value(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 bytes".to_owned());
    }
    (!text.is_empty() && !is_name_part(text)).then(|| VALUE.to_owned())
}

fn qualified(key: &str) -> Option<String> {
    let (prefix, name) = match key.rsplit_once('/') {
        None => (None, key),
        Some((prefix, name)) => (Some(prefix), name),
    };
    if let Some(prefix) = prefix
        && let Some(why) = subdomain(prefix)
    {
        return Some(format!("prefix part {why}"));
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes".to_owned());
    }
    (!is_name_part(name)).then(|| KEY.to_owned())
}

fn name_of(kind: &Kind, name: &str) -> Option<String> {
    match (kind.group, kind.plural) {
        ("", "namespaces") => label(name),
        ("", "services") => label_1035(name),
        ("rbac.authorization.k8s.io", _) => (name == "." || name == ".." || name.contains(['/', '%']))
            .then(|| "may not contain '/' or '%'".to_owned()),
        _ => subdomain(name),
    }
}

/// What is wrong with an object's metadata.
pub fn wrong(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = object.text("/metadata/name");
    if let Some(why) = name_of(kind, name) {
        causes.push(Cause::invalid("metadata.name", &name.into(), &why));
    }
    labels("metadata.labels", object.at("/metadata/labels"), &mut causes);
    let annotations = object.at("/metadata/annotations").as_object();
    let mut bytes = 0;
    for (key, value) in annotations.into_iter().flatten() {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        if let Some(why) = qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &key.as_str().into(), &why));
        }
        if !value.is_string() {
            causes.push(Cause::invalid("metadata.annotations", value, "must be a string"));
        }
    }
    if bytes > ANNOTATION_BYTES {
        let message = format!("Too long: may not be more than {ANNOTATION_BYTES} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", field: "metadata.annotations".to_owned(), message });
    }
    for (at, owner) in object.list("/metadata/ownerReferences").iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                let field = format!("metadata.ownerReferences[{at}].{field}");
                causes.push(Cause::invalid(field, &"".into(), "must not be empty"));
            }
        }
    }
    for finalizer in object.list("/metadata/finalizers") {
        let text = finalizer.as_str().unwrap_or_default();
        let is_known = ["orphan", "foregroundDeletion", "kubernetes"].contains(&text);
        if !is_known && (qualified(text).is_some() || !text.contains('/')) {
            causes.push(Cause::invalid(
                "metadata.finalizers",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    causes
}

pub fn labels(field: &str, labels: &Value, causes: &mut Vec<Cause>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Some(why) = qualified(key) {
            causes.push(Cause::invalid(field, &key.as_str().into(), &why));
        }
        match value.as_str() {
            None => causes.push(Cause::invalid(field, value, "must be a string")),
            Some(text) => {
                if let Some(why) = label_value(text) {
                    causes.push(Cause::invalid(field, value, &why));
                }
            }
        }
    }
}
