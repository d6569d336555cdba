//! The tools that a server has, and those of them that an agent gets.

use serde_json::{Value, json};

/// Where there is none, agents do without: that is no failure, as in the peer.
pub const BROWSER: &str = "browser_tool_set";

const SWITCH_LLM: &str = "switch_llm";

/// What tools the server has.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    /// Of agents whose settings name none.
    pub default: Vec<String>,
    /// All that an agent can have.
    pub known: Vec<String>,
}

/// `file_editor` and `FileEditorTool` are the same tool.
#[must_use]
pub fn is_same_tool(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

fn plain(name: &str) -> String {
    let name = name.replace('_', "").to_ascii_lowercase();
    name.strip_suffix("tool").map(str::to_owned).unwrap_or(name)
}

impl Tools {
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.iter().any(|known| is_same_tool(known, name))
    }

    /// What an agent gets that wants these; null: it does not say.
    pub(super) fn chosen(&self, wanted: &Value) -> Value {
        match wanted.as_array() {
            Some(wanted) => {
                let can_be = |tool: &&Value| name_of(tool) != BROWSER || self.has(BROWSER);
                wanted.iter().filter(can_be).cloned().collect()
            }
            None => {
                let switch = self.has(SWITCH_LLM).then_some(SWITCH_LLM);
                let default = self.default.iter().map(String::as_str).filter(|name| *name != SWITCH_LLM);
                default.chain(switch).map(|name| json!({"name": name, "params": {}})).collect()
            }
        }
    }

    /// Those that an agent wants in vain.
    pub(super) fn unusable(&self, wanted: &Value) -> Vec<String> {
        match wanted.as_array() {
            Some(wanted) => {
                let names = wanted.iter().map(name_of);
                names.filter(|name| !self.has(name)).map(str::to_owned).collect()
            }
            None if self.has(BROWSER) => Vec::new(),
            None => vec![BROWSER.to_owned()],
        }
    }
}

fn name_of(tool: &Value) -> &str {
    tool.get("name").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_has_two_spellings() {
        assert!(is_same_tool("FileEditorTool", "file_editor"));
        assert!(!is_same_tool("terminal", BROWSER));
    }

    #[test]
    fn a_browser_that_is_not_there_is_left_out_and_all_else_is_kept() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let tools = Tools { default: names(&["terminal"]), known: names(&["terminal", "finish"]) };
        assert_eq!(tools.chosen(&Value::Null), json!([{"name": "terminal", "params": {}}]));
        let wanted = json!([{"name": "x"}, {"name": BROWSER}, {"name": "FinishTool"}]);
        assert_eq!(tools.chosen(&wanted), json!([{"name": "x"}, {"name": "FinishTool"}]));
        assert_eq!(tools.unusable(&wanted), ["x", BROWSER]);
        assert_eq!((tools.chosen(&json!([])), tools.unusable(&Value::Null)), (json!([]), names(&[BROWSER])));
    }
}
