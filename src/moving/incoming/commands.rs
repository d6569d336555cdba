//! Commands that were run over the API, and what they printed.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use serde_json::Value;
use types::time::bound_as_utc;
use types::{BashScope, LogId, TenantId};

use super::appending::{Appending, Stop};
use super::folder;
use crate::moving::progress::Progress;
use crate::moving::report::Report;
use crate::moving::store::Store;

const KIND: &str = "bash events";

/// An output has a MiB of characters, and quotes of them.
const MOST: u64 = 7 << 20;

/// The length of `2026-11-23T00:49:08.190203Z`: what has another is not found by its time.
const STAMP: usize = 27;

/// # Errors
/// Those of the store.
pub async fn bring(store: &Store, from: &Path, tenant: &TenantId, report: &mut Report) -> anyhow::Result<()> {
    let names = match folder::names(from, "") {
        Ok(names) => names,
        Err(why) => {
            report.left_out(KIND, &from.to_string_lossy(), why);
            return Ok(());
        }
    };
    let names: Vec<&String> = names.iter().filter(|name| is_event(name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    match all(store, from, &names, tenant, report).await {
        Ok(()) => Ok(()),
        Err(Stop::Store(error)) => Err(error.into()),
        Err(stop) => {
            report.left_out(KIND, &from.to_string_lossy(), stop);
            Ok(())
        }
    }
}

/// In the order of their names, which begin with their time. What is older than what is here cannot come before it any more.
async fn all(
    store: &Store,
    from: &Path,
    names: &[&String],
    tenant: &TenantId,
    report: &mut Report,
) -> Result<(), Stop> {
    let sandbox = store.default_sandbox(tenant).await?;
    let log = LogId::bash(&sandbox, BashScope::Sandbox);
    let (mut there, mut last) = (HashSet::new(), Vec::new());
    let visit = |record: &[u8]| {
        there.insert(hash(record));
        last = record.to_vec();
    };
    let mut appending = Appending::behind(store.ports.log.clone(), log, visit).await?;
    let mut newest = serde_json::from_slice::<Value>(&last).ok().and_then(|event| stamp(&event));
    let mut progress = Progress::new(KIND, names.len());
    let mut late = 0_usize;
    for name in names {
        progress.step();
        let (record, at) = match event(from, name) {
            Ok(read) => read,
            Err(why) => {
                report.left_out(KIND, name, why);
                continue;
            }
        };
        if there.contains(&hash(&record)) {
            report.there(KIND);
            continue;
        }
        match appending.as_mut().filter(|_| newest.as_ref().is_none_or(|newest| at >= *newest)) {
            Some(appending) => {
                there.insert(hash(&record));
                newest = Some(at);
                appending.add(record).await?;
                report.moved(KIND);
            }
            None => late += 1,
        }
    }
    if late > 0 {
        let why = format!("{late} of them are older than one that is here, and cannot come before it");
        report.left_out(KIND, &from.to_string_lossy(), why);
    }
    match appending {
        Some(mut appending) => appending.end().await,
        None => Ok(()),
    }
}

fn hash(record: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(record);
    hasher.finish()
}

/// `<20 digits>_BashCommand_<id>` or `<20 digits>_BashOutput_<id of the command>_<id>`.
fn is_event(name: &str) -> bool {
    let Some((stamp, rest)) = name.split_once('_') else { return false };
    stamp.len() == 20 && stamp.bytes().all(|byte| byte.is_ascii_digit()) && rest.contains('_')
}

/// An event as it is kept, and its time.
fn event(from: &Path, name: &str) -> Result<(Vec<u8>, String), String> {
    let text = folder::text(from, name, MOST).map_err(|why| why.to_string())?;
    let mut event: Value = serde_json::from_str(&text).map_err(|_| "it is no JSON".to_owned())?;
    let mut text = types::peer::compact(&text);
    let stamp = stamp(&event).ok_or("it has no time")?;
    let is_named =
        event.get("id").is_some_and(Value::is_string) && event.get("kind").is_some_and(Value::is_string);
    if !is_named {
        return Err("it has no id or no kind".to_owned());
    }
    let is_usual = event.get("timestamp").and_then(Value::as_str).is_some_and(|text| text.len() == STAMP);
    if let Some(fields) = event.as_object_mut().filter(|_| !is_usual) {
        fields.insert("timestamp".to_owned(), stamp.as_str().into());
        text = event.to_string();
    }
    ports::fits(text.len()).map_err(|why| why.to_string())?;
    Ok((text.into_bytes(), stamp))
}

fn stamp(event: &Value) -> Option<String> {
    event.get("timestamp").and_then(Value::as_str).and_then(bound_as_utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_events_are_known_by_their_names() {
        assert!(is_event("20261129181002366245_BashCommand_48ee098b999949c2a8ead47f9c436c3e"));
        for other in ["_bash.jsonl", "2026_BashCommand_x", "20261129181002366245_x", "x"] {
            assert!(!is_event(other), "{other}");
        }
    }

    #[test]
    fn an_event_is_taken_as_it_is_and_a_whole_second_is_written_out() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            std::fs::write(dir.path().join("e"), text).unwrap();
            event(dir.path(), "e").map(|(record, _)| String::from_utf8(record).unwrap())
        };
        let usual = "{\n \"id\": \"i\",\n \"kind\": \"FromTheFuture\", \"timestamp\": \"2026-11-29T18:10:02.366245Z\", \"x\": 1.0}";
        assert_eq!(
            of(usual).unwrap(),
            r#"{"id":"i","kind":"FromTheFuture","timestamp":"2026-11-29T18:10:02.366245Z","x":1.0}"#
        );
        let whole = of(r#"{"id":"i","kind":"BashCommand","timestamp":"2026-11-29T18:10:02Z"}"#).unwrap();
        assert!(whole.contains("2026-11-29T18:10:02.000000Z"), "{whole}");
        let torn = r#"{"id":"i","kind":"BashOutput","timestamp":"2026-11-29T18:10:02Z","x":1 2}"#;
        for bad in ["{", "{}", r#"{"timestamp":"2026-11-29T18:10:02Z"}"#, torn] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
