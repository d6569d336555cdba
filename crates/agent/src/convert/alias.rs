//! Tools under other names than ours.

use serde_json::{Map, Value};
use types::tool::{ToolDefinition, Toolbox};

type Arguments = Map<String, Value>;

/// Names that mean the terminal.
const SHELLS: [&str; 4] = ["bash", "command", "execute", "execute_bash"];
/// Names that mean the file editor.
const EDITORS: [&str; 2] = ["str_replace", "str_replace_editor"];
/// Programs that are called as if they were tools, without arguments.
const BARE_PROGRAMS: [&str; 4] = ["find", "git", "ls", "pwd"];
/// Parameters that every tool has.
const OURS: [&str; 2] = ["summary", "security_risk"];
/// Programs whose name belongs in front of the command.
const PREFIXES: [&str; 2] = ["git", "reset"];

/// The tool that is meant; `None` if there is no such tool. The arguments become those of that tool.
/// A tool of the exact name always wins.
pub fn resolve<'a>(
    toolbox: &'a dyn Toolbox,
    name: &str,
    arguments: &mut Arguments,
) -> Option<&'a ToolDefinition> {
    let known = |name: &str| toolbox.definitions().iter().find(|tool| tool.name == name);
    let word = leading_identifier(name);
    if let Some(tool) = known(name).or_else(|| known(word)) {
        return Some(tool);
    }
    if EDITORS.contains(&word) {
        return known("file_editor");
    }
    let terminal = known("terminal")?;
    if !SHELLS.contains(&word) {
        let command = command_line(word, arguments)?;
        arguments.retain(|key, _| OURS.contains(&key.as_str()) || key == "timeout");
        arguments.insert("command".to_owned(), Value::from(command));
    }
    Some(terminal)
}

/// The command that a program called as a tool stands for.
fn command_line(word: &str, arguments: &Arguments) -> Option<String> {
    if word == "grep" {
        return grep(arguments);
    }
    let bare = arguments.keys().all(|key| OURS.contains(&key.as_str()));
    if bare && BARE_PROGRAMS.contains(&word) {
        return Some(word.to_owned());
    }
    let program = PREFIXES.iter().find(|program| word.starts_with(**program))?;
    let command = arguments.get("command")?.as_str()?;
    let named = command.split_whitespace().next() == Some(*program);
    Some(if named { command.to_owned() } else { format!("{program} {command}") })
}

fn grep(arguments: &Arguments) -> Option<String> {
    let text = |key: &str| arguments.get(key).and_then(Value::as_str);
    let mut command = "rg --line-number".to_owned();
    if let Some(include) = text("include") {
        command.push_str(&format!(" --glob {}", quoted(include)));
    }
    command.push_str(&format!(" -e {}", quoted(text("pattern")?)));
    command.push_str(&format!(" {}", quoted(text("path").unwrap_or("."))));
    Some(command)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn leading_identifier(name: &str) -> &str {
    let name = name.trim_start();
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    name.get(..end).unwrap_or(name)
}
