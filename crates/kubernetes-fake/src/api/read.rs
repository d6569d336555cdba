//! GET of an object and of a list, whole or in parts.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Request, Target};
use crate::cluster::{Cluster, Key};
use crate::fields::selectors::Selector;
use crate::reply::Reply;
use crate::status::Status;

pub fn get(cluster: &Cluster, target: &Target) -> Result<Reply, Status> {
    let found = cluster.with(|state| state.get(&target.key()).cloned());
    found.map(|object| Reply::ok(&object)).ok_or_else(|| Status::not_found(&target.kind, &target.name))
}

/// The version of a list, and what is in it.
type Listed = (u64, Vec<(Key, Arc<Value>)>);

pub fn list(cluster: &Cluster, request: &Request, target: &Target) -> Result<Reply, Status> {
    let selector =
        Selector::parse(&target.kind, request.query("labelSelector"), request.query("fieldSelector"))?;
    let limit: usize = request.query("limit").parse().unwrap_or(0);
    let begin = continued(request.query("continue"))?;
    let (version, all) = cluster.with(|state| -> Result<Listed, Status> {
        let of = |version| {
            let found = state.at(version, &target.kind, &target.namespace);
            found.ok_or_else(|| Status::expired(version, state.forgotten()))
        };
        if let Some((version, _)) = &begin {
            if state.forgotten() > *version {
                return Err(inconsistent());
            }
            return Ok((*version, of(*version)?));
        }
        let asked = request.query("resourceVersion");
        let newest = (state.version(), state.of(&target.kind, &target.namespace));
        if asked.is_empty() {
            return Ok(newest);
        }
        let wanted = version_of(asked)?;
        match request.query("resourceVersionMatch") {
            "Exact" if wanted > state.version() => Err(Status::too_large_version(wanted, state.version())),
            "Exact" => Ok((wanted, of(wanted)?)),
            _ => {
                let cached = state.cached(&target.kind, &target.namespace);
                if wanted > cached.0 { Err(Status::too_large_version(wanted, cached.0)) } else { Ok(cached) }
            }
        }
    })?;
    let after = begin.map(|(_, after)| after);
    let is_after =
        |key: &Key| after.as_ref().is_none_or(|after| (&key.namespace, &key.name) > (&after.0, &after.1));
    let mut all = all.into_iter().filter(|(key, object)| is_after(key) && selector.takes(object));
    let mut items = Vec::new();
    let mut last = None;
    for (key, object) in all.by_ref() {
        items.push((*object).clone());
        last = Some(key);
        if limit > 0 && items.len() == limit {
            break;
        }
    }
    let mut meta = json!({ "resourceVersion": version.to_string() });
    if let Some(last) = last
        && let rest @ 1.. = all.count()
    {
        let token = json!([version, last.namespace, last.name]).to_string();
        meta["continue"] = URL_SAFE_NO_PAD.encode(token).into();
        meta["remainingItemCount"] = rest.into();
    }
    Ok(Reply::Json(200, list_of(target, meta, items)))
}

pub fn list_of(target: &Target, meta: Value, items: Vec<Value>) -> Value {
    // As the real one: items of a list do not say their kind.
    let strip = |mut item: Value| {
        if let Some(item) = item.as_object_mut() {
            item.shift_remove("kind");
            item.shift_remove("apiVersion");
        }
        item
    };
    json!({
        "kind": format!("{}List", target.kind.kind),
        "apiVersion": target.kind.api_version(),
        "metadata": meta,
        "items": items.into_iter().map(strip).collect::<Vec<_>>(),
    })
}

/// # Errors
/// 400 where it is none.
pub fn version_of(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// A version, and the namespace and name after which it goes on.
type Begin = Option<(u64, (String, String))>;

fn continued(token: &str) -> Result<Begin, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let decoded = URL_SAFE_NO_PAD.decode(token).ok();
    let parts: Option<(u64, String, String)> = decoded.and_then(|bytes| {
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        Some((value[0].as_u64()?, value[1].as_str()?.to_owned(), value[2].as_str()?.to_owned()))
    });
    let (version, namespace, name) =
        parts.ok_or_else(|| Status::bad_request("continue key is not valid: illegal base64 data"))?;
    Ok(Some((version, (namespace, name))))
}

fn inconsistent() -> Status {
    Status::new(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
}
