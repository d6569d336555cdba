//! What a worker may still say when its sandbox has no room: that something has ended.

use ports::LogId;
use serde::Deserialize;
use types::bash::BashEvent;
use types::log::{Control, LogRecord};

use crate::message::{LogMessage, NewMessage};

/// Bytes of a message.
const MOST: usize = 16 << 10;
const ENDINGS: [&str; 5] = [
    "AgentErrorEvent",
    "ConversationErrorEvent",
    "ConversationStateUpdateEvent",
    "PauseEvent",
    "InterruptEvent",
];

/// Whether all records of `message` to `log` only tell of ends: of runs, of calls, of commands.
pub fn is_ending(log: &LogId, message: &NewMessage) -> bool {
    let NewMessage { lengths, body, payload } = message;
    if body.is_some() || payload.len() > MOST {
        return false;
    }
    let stored = LogMessage { number: 1, lengths: lengths.clone(), body: None, payload: payload.clone() };
    let ends = match log {
        LogId::Conversation { .. } => ends_of_runs,
        LogId::Bash { .. } => ends_of_commands,
    };
    stored.records(payload.clone()).iter().all(|entry| ends(&entry.payload))
}

fn ends_of_runs(record: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    match LogRecord::decode(record) {
        Ok(LogRecord::Control(_)) => true,
        Ok(LogRecord::Event { event, .. }) => {
            serde_json::from_str(event.get()).is_ok_and(|Kind { kind }| ENDINGS.contains(&kind.as_str()))
        }
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
    use bytes::Bytes;
    use types::{BashScope, ConversationId, SandboxId};

    use super::*;
    use crate::message::pack;

    fn message(records: &[&str]) -> NewMessage {
        let records: Vec<Bytes> = records.iter().map(|text| Bytes::from((*text).to_owned())).collect();
        let packed = pack(&records).unwrap();
        NewMessage { lengths: packed.lengths, body: None, payload: packed.bytes }
    }

    const ERROR: &str = r#"{"n":1,"event":{"kind":"ConversationErrorEvent","code":"c"}}"#;
    const ENDED: &str = r#"{"control":{"type":"run_ended"}}"#;
    const ACTION: &str = r#"{"n":1,"event":{"kind":"ActionEvent"}}"#;

    #[test]
    fn only_small_messages_of_ends_are_endings() {
        let log = LogId::conversation(&SandboxId::shared(), ConversationId::random());
        assert!(is_ending(&log, &message(&[ERROR, ENDED])));
        assert!(!is_ending(&log, &message(&[ERROR, ACTION, ENDED])));
        assert!(!is_ending(&log, &message(&["nonsense"])));
        let large = ERROR.replace("\"c\"", &format!("\"{}\"", "c".repeat(MOST)));
        assert!(!is_ending(&log, &message(&[&large])));
    }

    #[test]
    fn of_commands_only_the_last_output_is_an_ending() {
        let output = |code: &str| {
            format!(
                r#"{{"kind":"BashOutput","id":"i","timestamp":"t","command_id":"c","order":0,"exit_code":{code},"stdout":null,"stderr":null}}"#
            )
        };
        let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        assert!(is_ending(&log, &message(&[&output("0")])));
        assert!(!is_ending(&log, &message(&[&output("null"), &output("0")])));
    }

    #[test]
    fn what_ends_in_one_kind_of_log_is_no_ending_in_the_other() {
        let id = ConversationId::random();
        let conversation = LogId::conversation(&SandboxId::shared(), id);
        let shell = LogId::bash(&SandboxId::shared(), BashScope::Conversation(id));
        let output = r#"{"kind":"BashOutput","id":"i","timestamp":"t","command_id":"c","order":0,"exit_code":0,"stdout":null,"stderr":null}"#;
        assert!(is_ending(&shell, &message(&[output])));
        assert!(!is_ending(&conversation, &message(&[output])));
        assert!(is_ending(&conversation, &message(&[ENDED])));
        assert!(!is_ending(&shell, &message(&[ENDED])));
    }
}
