//! What the stream says, as text: one JSON object each.

use std::borrow::Cow;

use axum::extract::ws::Utf8Bytes;
use types::ConversationId;

const LINE_ENDS: [char; 2] = ['\n', '\r'];

/// How a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A frame of a socket, the cursor in it.
    Frame,
    /// A server-sent event, the cursor as its id.
    Lines,
}

/// Why a client gets the list anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// It has no cursor.
    Begin,
    /// Its cursor was not written here, or not for it.
    Unknown,
    /// More has changed since than its cursor can tell.
    Outdated,
}

impl Form {
    /// `fields`: those of an object, without its braces. An empty cursor takes the client's away.
    fn text(self, fields: &str, cursor: Option<&str>) -> Utf8Bytes {
        let text = match (self, cursor) {
            (Self::Frame, None) => format!("{{{fields}}}"),
            (Self::Frame, Some(cursor)) => format!(r#"{{{fields},"cursor":"{cursor}"}}"#),
            (Self::Lines, None) => format!("data: {{{fields}}}\n\n"),
            (Self::Lines, Some(cursor)) => format!("id: {cursor}\ndata: {{{fields}}}\n\n"),
        };
        text.into()
    }

    /// All that the client has is void, its cursor too: a list follows, in pages. Who does not get the whole of it begins anew.
    pub fn reset(self, reason: Reset, total: usize) -> Utf8Bytes {
        let reason = match reason {
            Reset::Begin => "begin",
            Reset::Unknown => "unknown",
            Reset::Outdated => "outdated",
        };
        self.text(&format!(r#""type":"reset","reason":"{reason}","total":{total}"#), Some(""))
    }

    /// A page of the list; `briefs` are JSON.
    pub fn listed(self, briefs: &[String]) -> Utf8Bytes {
        self.text(&format!(r#""type":"listed","conversations":[{}]"#, briefs.join(",")), None)
    }

    /// The list is complete.
    pub fn ready(self, cursor: &str) -> Utf8Bytes {
        self.text(r#""type":"ready""#, Some(cursor))
    }

    /// What follows are changes since the client's cursor.
    pub fn resumed(self, cursor: &str) -> Utf8Bytes {
        self.text(r#""type":"resumed""#, Some(cursor))
    }

    pub fn created(self, brief: &str, cursor: &str) -> Utf8Bytes {
        self.text(&format!(r#""type":"created","conversation":{brief}"#), Some(cursor))
    }

    pub fn changed(self, brief: &str, cursor: &str) -> Utf8Bytes {
        self.text(&format!(r#""type":"changed","conversation":{brief}"#), Some(cursor))
    }

    pub fn deleted(self, id: ConversationId, cursor: &str) -> Utf8Bytes {
        self.text(&format!(r#""type":"deleted","conversation_id":"{}""#, id.0), Some(cursor))
    }

    /// `n`: the event's index in its log.
    pub fn event(self, id: ConversationId, n: u64, event: &str, cursor: &str) -> Utf8Bytes {
        let event = match self {
            Self::Frame => Cow::Borrowed(event),
            Self::Lines => on_one_line(event),
        };
        let fields = format!(r#""type":"event","conversation_id":"{}","seq":{n},"event":{event}"#, id.0);
        self.text(&fields, Some(cursor))
    }
}

/// A worker may write its events over several lines, where a server-sent event would end. Within strings of JSON there are no
/// such characters.
fn on_one_line(json: &str) -> Cow<'_, str> {
    match json.contains(LINE_ENDS) {
        true => json.replace(LINE_ENDS, " ").into(),
        false => json.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_cursor_in_it_and_a_server_sent_event_as_its_id() {
        let id = ConversationId(uuid::Uuid::nil());
        let object = r#"{"type":"event","conversation_id":"00000000-0000-0000-0000-000000000000","seq":3,"event":{"id":"a"}"#;
        assert_eq!(
            Form::Frame.event(id, 3, r#"{"id":"a"}"#, "C").as_str(),
            format!(r#"{object},"cursor":"C"}}"#)
        );
        assert_eq!(
            Form::Lines.event(id, 3, r#"{"id":"a"}"#, "C").as_str(),
            format!("id: C\ndata: {object}}}\n\n")
        );
    }

    #[test]
    fn a_reset_takes_the_cursor_away() {
        assert_eq!(
            Form::Frame.reset(Reset::Begin, 2).as_str(),
            r#"{"type":"reset","reason":"begin","total":2,"cursor":""}"#
        );
        assert_eq!(
            Form::Lines.reset(Reset::Outdated, 2).as_str(),
            "id: \ndata: {\"type\":\"reset\",\"reason\":\"outdated\",\"total\":2}\n\n"
        );
    }

    #[test]
    fn an_event_that_was_written_over_several_lines_is_one_server_sent_event() {
        let told = Form::Lines.event(
            ConversationId(uuid::Uuid::nil()),
            3,
            "{\"id\":\"a\",\n\n\r\"kind\":\"A\"}",
            "C",
        );
        let lines: Vec<_> = told.split(LINE_ENDS).collect();
        let [id, data, "", ""] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(*id, "id: C");
        let told: serde_json::Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(told["event"], serde_json::json!({ "id": "a", "kind": "A" }));
    }
}
