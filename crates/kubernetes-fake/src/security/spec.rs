//! How checks look at pods.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::value::Look;

/// Reason and detail of what is not allowed.
pub type Finding = Option<(String, String)>;
/// Its name, by which findings are sorted.
pub type Check = (&'static str, fn(&Value) -> Finding);

pub fn finding(reason: &str, detail: impl Into<String>) -> Finding {
    Some((reason.to_owned(), detail.into()))
}

/// Those that begin, those that stay, and those that are put in later.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| pod.list(&format!("/spec/{list}")))
}

/// Names of the containers of which something holds.
pub fn named(pod: &Value, holds: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(pod).filter(|container| holds(container)).map(|container| container.text("/name")).collect()
}

/// `container "a"`, `containers "a", "b"`.
pub fn say(names: &[&str]) -> String {
    format!("{} {}", plural("container", names.len()), quoted(names))
}

pub fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

pub fn quoted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("{:?}", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The pod, its containers, or both, in one phrase; `None`: neither.
pub fn setters(pod_too: bool, names: &[&str]) -> Option<String> {
    let pod = pod_too.then(|| "pod".to_owned());
    let containers = (!names.is_empty()).then(|| say(names));
    let both: Vec<String> = pod.into_iter().chain(containers).collect();
    (!both.is_empty()).then(|| both.join(" and "))
}

/// Values of a field of the pod's and the containers' security context that are said but not allowed, and who says them.
pub fn bad_values<'a>(
    pod: &'a Value,
    field: &str,
    allowed: impl Fn(&str) -> bool,
) -> Option<(String, BTreeSet<&'a str>)> {
    let pointer = format!("/securityContext/{field}");
    let bad = |value: &Value| value.as_str().is_some_and(|value| !allowed(value));
    let of_pod = pod.at(&format!("/spec{pointer}"));
    let names = named(pod, |container| bad(container.at(&pointer)));
    let setters = setters(bad(of_pod), &names)?;
    let values = containers(pod).map(|container| container.at(&pointer)).chain([of_pod]);
    Some((setters, values.filter(|value| bad(value)).filter_map(Value::as_str).collect()))
}

/// User namespaces make root harmless.
pub fn has_own_users(pod: &Value) -> bool {
    pod.at("/spec/hostUsers") == false
}
