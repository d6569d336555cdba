//! What arguments of models become, repaired and refused.

use types::tool::ToolAction;

use super::*;

struct Tools(Vec<ToolDefinition>);

impl Tools {
    fn new(extra: &[&str]) -> Self {
        let mut tools = vec![
            tool("terminal", false, json!({"command": {"type": "string"}, "timeout": {"type": "number"}})),
            tool(
                "file_editor",
                false,
                json!({"command": {"type": "string"}, "view_range": {"type": "array"}}),
            ),
            tool("think", true, json!({"thought": {"type": "string"}})),
        ];
        tools.extend(extra.iter().map(|name| tool(name, false, json!({}))));
        Self(tools)
    }
}

fn tool(name: &str, read_only: bool, properties: Value) -> ToolDefinition {
    ToolDefinition {
        name: name.to_owned(),
        description: String::new(),
        parameters: json!({"type": "object", "properties": properties}),
        announced: Value::Null,
        read_only,
    }
}

impl Toolbox for Tools {
    fn definitions(&self) -> &[ToolDefinition] {
        &self.0
    }

    fn parse(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Parsed, String> {
        if tool == "terminal" && !arguments.contains_key("command") {
            return Err("command is required.".to_owned());
        }
        let described = Value::Object(arguments.clone());
        Ok(Parsed { action: self.restore(tool, &described)?, described })
    }

    fn restore(&self, _tool: &str, described: &Value) -> Result<ToolAction, String> {
        Ok(ToolAction::new(described.clone(), None, false))
    }
}

fn convert_with(keeps_risk: bool, name: &str, arguments: &str) -> Converted {
    let toolbox = Tools::new(&[]);
    let call = ToolCall {
        id: "c1".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        origin: "completion".to_owned(),
    };
    Converter { toolbox: &toolbox, keeps_risk }.convert(&call)
}

fn convert(name: &str, arguments: &str) -> Converted {
    convert_with(false, name, arguments)
}

fn action(name: &str, arguments: &str) -> (String, Value) {
    let converted = convert(name, arguments);
    (converted.tool, converted.outcome.unwrap().parsed.described)
}

fn error(name: &str, arguments: &str) -> String {
    convert(name, arguments).outcome.unwrap_err()
}

#[test]
fn the_stored_call_is_re_encoded_with_risk_and_summary() {
    let converted =
        convert("terminal", r#"{"command":"ls ü","security_riks":"HIGH","summary":"List","timeout":null}"#);
    assert_eq!(
        converted.call.arguments,
        r#"{"command": "ls \u00fc", "summary": "List", "security_risk": "HIGH"}"#
    );
    let valid = converted.outcome.unwrap();
    assert_eq!((valid.risk, valid.summary.as_str()), (Risk::Unknown, "List"));
    assert_eq!(valid.parsed.described, json!({"command": "ls ü"}));
}

#[test]
fn a_missing_summary_is_the_call_itself() {
    let valid =
        convert("terminal", r#"{"command": "rm -rf build", "security_risk": "HIGH"}"#).outcome.unwrap();
    assert_eq!(valid.summary, r#"terminal: {"command": "rm -rf build"}"#);
    let long = format!(r#"{{"command": "{}"}}"#, "x".repeat(50_000));
    assert_eq!(convert("terminal", &long).outcome.unwrap().summary.len(), LONGEST_SUMMARY + 3);
}

#[test]
fn the_models_risk_counts_only_with_an_analyzer_and_never_for_reading_tools() {
    let risky = r#"{"command": "ls", "security_risk": "high"}"#;
    assert_eq!(convert_with(true, "terminal", risky).outcome.unwrap().risk, Risk::High);
    assert_eq!(convert_with(false, "terminal", risky).outcome.unwrap().risk, Risk::Unknown);
    let thought = r#"{"thought": "hm", "security_risk": "nonsense"}"#;
    assert_eq!(convert_with(true, "think", thought).outcome.unwrap().risk, Risk::Unknown);
    let nonsense = r#"{"command": "ls", "security_risk": "nonsense"}"#;
    assert_eq!(
        convert_with(true, "terminal", nonsense).outcome.unwrap_err(),
        "Error validating tool 'terminal': security_risk must be one of UNKNOWN, LOW, MEDIUM, HIGH. \
         Parameters provided: ['command', 'security_risk']"
    );
}

#[test]
fn errors_name_the_tool_and_what_was_given() {
    assert_eq!(
        error("no_such_tool", r#"{"a": 1}"#),
        "Tool 'no_such_tool' not found. Available: ['terminal', 'file_editor', 'think']"
    );
    assert_eq!(
        error("terminal", r#"{"cmd": "ls"}"#),
        "Error validating tool 'terminal': command is required. Parameters provided: ['cmd']"
    );
}

#[test]
fn arguments_that_are_not_json_are_replaced_in_the_history() {
    let converted = convert("terminal", r#"{"command": "ls"#);
    let error = converted.outcome.unwrap_err();
    assert!(error.starts_with("Error validating tool 'terminal': "), "{error}");
    assert!(error.ends_with(". Arguments: unparseable JSON"), "{error}");
    let stored: Value = serde_json::from_str(&converted.call.arguments).unwrap();
    assert_eq!(stored, json!({"_openhands_malformed_tool_call": true, "error": error}));
}

#[test]
fn names_that_a_provider_would_refuse_are_cleaned() {
    let converted = convert("räuber<|x|>", "{}");
    assert_eq!((converted.tool.as_str(), converted.call.name.as_str()), ("r_uber__x__", "r_uber__x__"));
    assert_eq!(convert("", "{}").tool, "unknown");
}

#[test]
fn other_names_of_our_tools_are_understood() {
    for name in ["bash", "execute_bash", "command", "execute", "terminal<|channel|>json", "bash.run"] {
        assert_eq!(
            action(name, r#"{"command": "ls"}"#),
            ("terminal".to_owned(), json!({"command": "ls"})),
            "{name}"
        );
    }
    let (tool, _) = action("str_replace_editor", r#"{"command": "view", "path": "/a"}"#);
    assert_eq!(tool, "file_editor");
    assert!(error("gitlab_search", r#"{"query": "x"}"#).starts_with("Tool 'gitlab_search' not found"));
}

#[test]
fn programs_called_like_tools_run_in_the_terminal() {
    let command = |name, arguments| action(name, arguments).1["command"].clone();
    assert_eq!(command("ls", "{}"), "ls");
    assert_eq!(command("git", r#"{"command": "status"}"#), "git status");
    assert_eq!(command("git", r#"{"command": "git status"}"#), "git status");
    assert_eq!(
        command("grep", r#"{"pattern": "it's", "path": "/w", "include": "*.rs"}"#),
        r"rg --line-number --glob '*.rs' -e 'it'\''s' '/w'"
    );
}

#[test]
fn a_tool_of_the_exact_name_wins_over_an_alias() {
    let toolbox = Tools::new(&["grep"]);
    let call = ToolCall {
        id: String::new(),
        name: "grep".to_owned(),
        arguments: r#"{"pattern": "x"}"#.to_owned(),
        origin: "completion".to_owned(),
    };
    assert_eq!(Converter { toolbox: &toolbox, keeps_risk: false }.convert(&call).tool, "grep");
}

#[test]
fn an_editor_call_without_a_command_is_guessed_from_its_keys() {
    let guess = |arguments| action("file_editor", arguments).1["command"].clone();
    assert_eq!(guess(r#"{"path": "/a", "old_str": "x", "new_str": "y"}"#), "str_replace");
    assert_eq!(guess(r#"{"path": "/a", "insert_line": 1, "new_str": "y"}"#), "insert");
    assert_eq!(guess(r#"{"path": "/a", "file_text": "x"}"#), "create");
    assert_eq!(guess(r#"{"path": "/a"}"#), "view");
    assert!(error("file_editor", r#"{"new_str": "x"}"#).contains("command is required"));
}

#[test]
fn stringified_values_are_decoded_after_the_schema() {
    let (_, action) = action("file_editor", r#"{"command": "view", "path": "/a", "view_range": "[1, 2]"}"#);
    assert_eq!(action["view_range"], json!([1, 2]));
}

#[test]
fn a_tool_is_found_by_the_end_of_a_name_or_without_its_case_but_never_guessed() {
    let found = |extra: &[&str], name: &str| {
        let mut arguments = Map::from_iter([("command".to_owned(), json!("ls"))]);
        alias::resolve(&Tools::new(extra), name, &mut arguments).map(|tool| tool.name.clone())
    };
    for (name, tool) in [
        ("functions.terminal", Some("terminal")),
        ("functions.terminal:0", Some("terminal")),
        ("default_api:terminal", Some("terminal")),
        ("tools/File_Editor", Some("file_editor")),
        ("Terminal", Some("terminal")),
        ("THINK", Some("think")),
        ("terminal<|channel|>commentary", Some("terminal")),
        ("functions.Bash", Some("terminal")),
        ("str_replace_editor", Some("file_editor")),
        ("functions.nothing", None),
        ("", None),
    ] {
        assert_eq!(found(&[], name).as_deref(), tool, "{name}");
    }
    assert_eq!(found(&["Think"], "Think").as_deref(), Some("Think"));
    assert_eq!(found(&["Think"], "THINK"), None, "it may be either");
    assert_eq!(found(&["my-server_ask"], "x.my-server_ask").as_deref(), Some("my-server_ask"));
}
