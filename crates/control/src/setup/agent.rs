//! Agent settings: completed, and changed by a difference.

use serde_json::{Map, Value, json};

use super::{agent_form, mcp_server_is_whole};
use crate::shelf::{Sealing, merge_patch};

/// What agent settings are written in; clients that were written for an older one send its number.
const SCHEMA_VERSION: u64 = 9;

const MOST_SERVERS: usize = 200;

/// Switches that older settings had. A program that still sends them means something that does not happen any more.
const RETIRED: [&str; 2] = ["enable_sub_agents", "enable_switch_llm_tool"];

/// Why settings are not what they should be. What exactly is not said: it could show a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Invalid,
    /// A token in them is not one of this tenant's.
    Unopenable,
    TooManyServers,
}

/// What is stored, complete: also what nobody has set, and what was set in part.
pub(crate) fn complete(stored: &Value) -> Value {
    let stored = if stored.is_null() { json!({}) } else { stored.clone() };
    // What an older release has taken is shown as it is.
    completed(stored.clone()).unwrap_or(stored)
}

/// What `stored` becomes by a difference. Another kind of agent begins with the defaults of that kind: nothing of the old one
/// means the same there.
pub(super) fn changed(sealing: &Sealing<'_>, stored: &Value, mut change: Value) -> Result<Value, Unfit> {
    let kind = kind_of(stored);
    let wanted = change.get("agent_kind").map(|kind| kind_named(kind).to_owned());
    let wanted = wanted.as_deref();
    let mut base = match wanted {
        Some(wanted) if wanted != kind => {
            refuse_retired(&change, wanted)?;
            json!({"agent_kind": wanted})
        }
        _ => stored.clone(),
    };
    let form = agent_form(&json!({"agent_kind": wanted.unwrap_or(kind)}));
    normalize(&mut change);
    sealing.take(form, &mut change).map_err(|_| Unfit::Unopenable)?;
    sealing.keep_masked(form, &mut change, &base);
    merge_patch(&mut base, change);
    completed(base)
}

pub(crate) fn completed(mut settings: Value) -> Result<Value, Unfit> {
    normalize(&mut settings);
    let mut filled = agent_form(&settings).fill(settings).map_err(|_| Unfit::Invalid)?;
    if filled.get("schema_version").and_then(Value::as_u64).is_none_or(|version| version > SCHEMA_VERSION) {
        return Err(Unfit::Invalid);
    }
    if let Some(fields) = filled.as_object_mut() {
        fields.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    }
    if servers(&mut filled).count() > MOST_SERVERS {
        return Err(Unfit::TooManyServers);
    }
    for server in servers(&mut filled) {
        mcp_server_is_whole(server).map_err(|_| Unfit::Invalid)?;
        leave_out_nulls(server);
    }
    Ok(filled)
}

/// Older words for the same.
fn normalize(settings: &mut Value) {
    if settings.get("agent_kind").and_then(Value::as_str) == Some("llm") {
        set(settings, "agent_kind", "openhands".into());
    }
    for server in servers(settings) {
        let Some(fields) = server.as_object_mut() else { continue };
        if let Some(kind) = fields.shift_remove("type") {
            fields.entry("transport").or_insert(kind);
        }
        if fields.get("transport").and_then(Value::as_str) == Some("shttp") {
            fields.insert("transport".to_owned(), "http".into());
        }
    }
}

fn servers(settings: &mut Value) -> impl Iterator<Item = &mut Value> {
    let servers = settings.get_mut("mcp_config").and_then(Value::as_object_mut);
    servers.into_iter().flat_map(Map::values_mut)
}

/// A server is shown by what was said of it.
fn leave_out_nulls(server: &mut Value) {
    if let Some(fields) = server.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

fn refuse_retired(change: &Value, kind: &str) -> Result<(), Unfit> {
    let is_new = change.get("schema_version").is_none_or(Value::is_null);
    let is_there = |field: &&str| change.get(*field).is_some();
    let has_retired = RETIRED.iter().any(is_there) || (kind == "acp" && is_there(&"llm"));
    if is_new && has_retired { Err(Unfit::Invalid) } else { Ok(()) }
}

fn kind_of(settings: &Value) -> &str {
    settings.get("agent_kind").map_or("openhands", kind_named)
}

/// `llm` is an older name; what is no kind at all is left to the form.
fn kind_named(kind: &Value) -> &str {
    match kind.as_str() {
        Some("llm") | None => "openhands",
        Some(kind) => kind,
    }
}

fn set(settings: &mut Value, field: &str, value: Value) {
    if let Some(fields) = settings.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}
