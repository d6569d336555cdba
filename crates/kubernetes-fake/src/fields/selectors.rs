//! Which objects a list or a watch wants: by labels and by fields.

use serde_json::Value;

use crate::kinds::Kind;
use crate::status::Status;
use crate::value::Look;

#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: Vec<Wanted>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug)]
enum Wanted {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    There(String),
    NotThere(String),
}

impl Selector {
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = split(labels).iter().map(|part| wanted(part)).collect::<Result<_, _>>()?;
        let fields = split(fields).iter().map(|part| field(kind, part)).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub fn takes(&self, object: &Value) -> bool {
        let labels = object.at("/metadata/labels");
        self.labels.iter().all(|wanted| wanted.holds(labels))
            && self.fields.iter().all(|(path, equal, value)| {
                let pointer = format!("/{}", path.replace('.', "/"));
                let at = object.at(&pointer);
                let text = at
                    .as_str()
                    .map_or_else(|| if at.is_null() { String::new() } else { at.to_string() }, str::to_owned);
                (text == *value) == *equal
            })
    }
}

impl Wanted {
    fn holds(&self, labels: &Value) -> bool {
        match self {
            Self::In(key, values) => {
                labels[key].as_str().is_some_and(|value| values.iter().any(|v| v == value))
            }
            Self::NotIn(key, values) => {
                labels[key].as_str().is_none_or(|value| values.iter().all(|v| v != value))
            }
            Self::There(key) => labels[key].is_string(),
            Self::NotThere(key) => !labels[key].is_string(),
        }
    }
}

/// At commas that are in no brackets.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn wanted(part: &str) -> Result<Wanted, Status> {
    for (word, is_in) in [(" notin ", false), (" in ", true)] {
        if let Some((key, values)) = part.split_once(word) {
            let values = values.trim().strip_prefix('(').and_then(|values| values.strip_suffix(')'));
            let values = values.ok_or_else(|| unparsable(part))?;
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            let key = key.trim().to_owned();
            return Ok(if is_in { Wanted::In(key, values) } else { Wanted::NotIn(key, values) });
        }
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Wanted::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.trim_start_matches('=').trim();
        return Ok(Wanted::In(key.trim().to_owned(), vec![value.to_owned()]));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Wanted::NotThere(key.trim().to_owned()));
    }
    if part.contains(char::is_whitespace) {
        return Err(unparsable(part));
    }
    Ok(Wanted::There(part.to_owned()))
}

fn unparsable(part: &str) -> Status {
    Status::bad_request(format!("unable to parse requirement: {part}"))
}

fn field(kind: &Kind, part: &str) -> Result<(String, bool, String), Status> {
    let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
        (path, false, value)
    } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (path, true, value)
    } else {
        return Err(Status::bad_request(format!("invalid selector: '{part}'; can't understand '{part}'")));
    };
    let is_known = match (kind.group, kind.plural, path) {
        (_, _, "metadata.name" | "metadata.namespace") => true,
        ("", "pods", path) => POD_FIELDS.contains(&path),
        ("", "events", path) => {
            path.starts_with("involvedObject.") || ["reason", "type", "source"].contains(&path)
        }
        ("", "secrets", "type") | ("", "nodes", "spec.unschedulable") => true,
        ("batch", "jobs", "status.successful") => true,
        _ => false,
    };
    if !is_known {
        return Err(Status::bad_request(format!("field label not supported: {path}")));
    }
    Ok((path.to_owned(), equal, value.to_owned()))
}

const POD_FIELDS: [&str; 8] = [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];
