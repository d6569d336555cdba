//! Commands that were run over the API: each event as a file that is called by its time.

use std::path::Path;

use ports::log::Pages;
use serde_json::Value;
use types::log::LogRecord;
use types::{BashScope, LogId, Seq, TenantId};

use super::{BASH_EVENTS, write};
use crate::moving::report::Report;
use crate::moving::store::Store;

const KIND: &str = "bash events";
/// Records in memory at once; each may have some mebibytes.
const PAGE: usize = 16;

/// # Errors
/// Those of the store, and of writing.
pub async fn carry(store: &Store, to: &Path, tenant: &TenantId, report: &mut Report) -> anyhow::Result<()> {
    let log = LogId::bash(&store.default_sandbox(tenant).await?, BashScope::Sandbox);
    let mut pages = Pages::new(&*store.ports.log, &log, Seq::ZERO, PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page.iter().filter(|entry| !LogRecord::is_control(&entry.payload)) {
            let event = serde_json::from_slice::<Value>(&entry.payload).ok();
            match event.as_ref().and_then(name_of) {
                Some(name) => {
                    write::file(to, &format!("{BASH_EVENTS}/{name}"), &entry.payload)?;
                    report.moved(KIND);
                }
                None => report.left_out(KIND, &format!("the record at {}", entry.seq.0), "it cannot be read"),
            }
        }
    }
    Ok(())
}

/// `20261129181002366245_BashOutput_<id of the command>_<id>`.
fn name_of(event: &Value) -> Option<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let stamp = digits(text("timestamp")?);
    let command = text("command_id").map(plain).into_iter();
    let (kind, id) = (plain(text("kind")?), plain(text("id")?));
    if stamp.len() != 20 || kind.is_empty() || id.is_empty() {
        return None;
    }
    let parts: Vec<String> = [stamp, kind].into_iter().chain(command).chain([id]).collect();
    Some(parts.join("_"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_called_as_the_peer_calls_it() {
        let command =
            json!({"kind": "BashCommand", "id": "48ee", "timestamp": "2026-11-29T18:10:02.366245Z"});
        assert_eq!(name_of(&command).unwrap(), "20261129181002366245_BashCommand_48ee");
        let output = json!({"kind": "BashOutput", "id": "f3-7", "command_id": "48ee", "timestamp": "2026-11-29T18:10:02.395809Z"});
        assert_eq!(name_of(&output).unwrap(), "20261129181002395809_BashOutput_48ee_f37");
        assert_eq!(name_of(&json!({"kind": "../x", "id": "a", "timestamp": "t"})), None);
    }
}
