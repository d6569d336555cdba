//! Reading what the judge says: in doubt the goal is not reached.

use serde_json::{Map, Value};
use types::goal::Verdict;

use crate::bounds;

const UNREADABLE: &str = "What the judge has said cannot be read.";

/// The verdict in a model's answer, also where more was said than that.
pub fn verdict(said: &str) -> Verdict {
    let whole = said.trim();
    let object = whole.find('{').zip(whole.rfind('}')).and_then(|(from, to)| whole.get(from..=to));
    let mut texts = [Some(whole), object].into_iter().flatten();
    let fields: Option<Map<String, Value>> = texts.find_map(|text| serde_json::from_str(text).ok());
    let Some(fields) = fields else {
        return Verdict { score: 0.0, complete: false, missing: UNREADABLE.to_owned() };
    };
    let score = fields.get("score").and_then(number).unwrap_or_default().clamp(0.0, 1.0);
    let complete = match fields.get("complete") {
        None | Some(Value::Null) => score >= 1.0,
        Some(complete) => complete.as_bool() == Some(true) || complete.as_str() == Some("true"),
    };
    let missing = match fields.get("missing") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Verdict { score, complete, missing: bounds::missing(missing) }
}

fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &str) -> (f64, bool, String) {
        let Verdict { score, complete, missing } = verdict(said);
        (score, complete, missing)
    }

    #[test]
    fn a_verdict_is_found_in_what_is_said_around_it() {
        let none = String::new();
        assert_eq!(read(r#"{"score": 1.0, "complete": true, "missing": ""}"#), (1.0, true, none.clone()));
        let fenced =
            "Here it is:\n```json\n{\"score\": \"0.25\", \"complete\": false, \"missing\": \"tests\"}\n```";
        assert_eq!(read(fenced), (0.25, false, "tests".to_owned()));
        assert_eq!(read(r#"{"score": 7}"#), (1.0, true, none.clone()));
        assert_eq!(read(r#"{"score": -1, "missing": ["a"]}"#), (0.0, false, r#"["a"]"#.to_owned()));
    }

    #[test]
    fn however_much_is_missing_it_is_kept_in_memory() {
        let said = serde_json::json!({"complete": false, "missing": "\n".repeat(1 << 20)}).to_string();
        let missing = serde_json::to_string(&verdict(&said).missing).unwrap();
        assert!(missing.len() < 9 << 10, "{}", missing.len());
    }

    #[test]
    fn in_doubt_a_goal_is_not_reached() {
        for said in
            ["", "yes", "[true]", "{", "}{", "{\"score\": \"nan\"}", "{\"complete\": \"no\", \"score\": 1}"]
        {
            assert!(!verdict(said).complete, "{said}");
        }
        assert_eq!(verdict("Done!").missing, UNREADABLE);
    }
}
