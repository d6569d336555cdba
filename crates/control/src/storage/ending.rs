//! What a worker may still say when its sandbox has no room: that something has ended.

use bytes::Bytes;
use types::LogId;
use types::bash::BashEvent;
use types::event::Head;
use types::log::{Control, LogRecord};

/// Bytes of records that are stored at once.
const MOST: usize = 16 << 10;
const ENDINGS: [&str; 5] = [
    "AgentErrorEvent",
    "ConversationErrorEvent",
    "ConversationStateUpdateEvent",
    "PauseEvent",
    "InterruptEvent",
];

/// Whether there are records, and all of them only tell of ends: of runs, of calls, of commands.
pub fn is_ending(log: &LogId, records: &[Bytes]) -> bool {
    let ends = match log {
        LogId::Conversation { .. } => ends_of_runs,
        LogId::Bash { .. } => ends_of_commands,
        LogId::Snapshots { .. } => return false,
    };
    let size: usize = records.iter().map(Bytes::len).sum();
    !records.is_empty() && size <= MOST && records.iter().all(|record| ends(record))
}

fn ends_of_runs(record: &[u8]) -> bool {
    match LogRecord::<Head<'_>>::decode_as(record) {
        Ok(LogRecord::Control(_)) => true,
        Ok(LogRecord::Event { event, .. }) => ENDINGS.contains(&event.kind.as_ref()),
        Err(_) => false,
    }
}

fn ends_of_commands(record: &[u8]) -> bool {
    match serde_json::from_slice(record) {
        Ok(BashEvent::BashOutput(output)) => output.exit_code.is_some(),
        Ok(BashEvent::BashCommand(_)) => false,
        // What an incarnation fences the log with.
        Err(_) => matches!(LogRecord::decode(record), Ok(LogRecord::Control(Control::Fence { .. }))),
    }
}

#[cfg(test)]
mod tests {
    use types::{BashScope, ConversationId, SandboxId};

    use super::*;

    fn records(records: &[&str]) -> Vec<Bytes> {
        records.iter().map(|text| Bytes::from((*text).to_owned())).collect()
    }

    const ERROR: &str =
        r#"{"n":1,"event":{"id":"e","timestamp":"t","kind":"ConversationErrorEvent","code":"c"}}"#;
    const ENDED: &str = r#"{"control":{"type":"run_ended"}}"#;
    const ACTION: &str = r#"{"n":1,"event":{"id":"e","timestamp":"t","kind":"ActionEvent"}}"#;

    #[test]
    fn only_few_bytes_of_ends_are_endings() {
        let log = LogId::conversation(&SandboxId::shared(), ConversationId::random());
        assert!(!is_ending(&log, &[]), "what cannot be seen");
        assert!(is_ending(&log, &records(&[ERROR, ENDED])));
        assert!(!is_ending(&log, &records(&[ERROR, ACTION, ENDED])));
        assert!(!is_ending(&log, &records(&["nonsense"])));
        let large = ERROR.replace("\"c\"", &format!("\"{}\"", "c".repeat(MOST)));
        assert!(!is_ending(&log, &records(&[&large])));
    }

    #[test]
    fn of_commands_only_the_last_output_is_an_ending() {
        let output = |code: &str| {
            format!(
                r#"{{"kind":"BashOutput","id":"i","timestamp":"t","command_id":"c","order":0,"exit_code":{code},"stdout":null,"stderr":null}}"#
            )
        };
        let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        assert!(is_ending(&log, &records(&[&output("0")])));
        assert!(!is_ending(&log, &records(&[&output("null"), &output("0")])));
    }

    #[test]
    fn what_ends_in_one_kind_of_log_is_no_ending_in_the_other() {
        let id = ConversationId::random();
        let conversation = LogId::conversation(&SandboxId::shared(), id);
        let shell = LogId::bash(&SandboxId::shared(), BashScope::Conversation(id));
        let output = r#"{"kind":"BashOutput","id":"i","timestamp":"t","command_id":"c","order":0,"exit_code":0,"stdout":null,"stderr":null}"#;
        assert!(is_ending(&shell, &records(&[output])));
        assert!(!is_ending(&conversation, &records(&[output])));
        assert!(is_ending(&conversation, &records(&[ENDED])));
        assert!(!is_ending(&shell, &records(&[ENDED])));
    }
}
