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

/// The tool that is meant; `None` if there is no such tool. The arguments become those of that tool. A tool of the exact name always
/// wins, then one that is named by the end of what was written, then one whose name differs in case alone.
pub fn resolve<'a>(
    toolbox: &'a dyn Toolbox,
    name: &str,
    arguments: &mut Arguments,
) -> Option<&'a ToolDefinition> {
    let known = |name: &str| toolbox.definitions().iter().find(|tool| tool.name == name);
    let alike = |name: &str| {
        let mut alike = toolbox.definitions().iter().filter(|tool| tool.name.eq_ignore_ascii_case(name));
        // Of two nobody knows which is meant.
        alike.next().filter(|_| alike.next().is_none())
    };
    let names = parts_of(name);
    let exact = std::iter::once(name).chain(names.iter().copied()).find_map(known);
    if let Some(tool) = exact.or_else(|| names.iter().copied().find_map(alike)) {
        return Some(tool);
    }
    let is_one_of =
        |those: &[&str]| names.iter().any(|name| those.iter().any(|other| other.eq_ignore_ascii_case(name)));
    if is_one_of(&EDITORS) {
        return known("file_editor");
    }
    let terminal = known("terminal")?;
    if !is_one_of(&SHELLS) {
        let command = command_line(leading_identifier(name), arguments)?;
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

/// What of a written name may be that of a tool, as in `functions.terminal:0` or `terminal<|channel|>`: the last part first.
fn parts_of(name: &str) -> Vec<&str> {
    let parts = name.rsplit(['.', ':', '/']).flat_map(|part| [part.trim(), leading_identifier(part)]);
    parts.filter(|part| !part.is_empty()).collect()
}

fn leading_identifier(name: &str) -> &str {
    let name = name.trim_start();
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    name.get(..end).unwrap_or(name)
}
