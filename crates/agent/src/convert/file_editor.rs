//! A file_editor call without its `command`.

use serde_json::{Map, Value};

/// Puts in the command that the other keys speak for.
///
/// # Errors
/// When they speak for none.
pub fn guess_command(arguments: &mut Map<String, Value>) -> Result<(), String> {
    if arguments.contains_key("command") {
        return Ok(());
    }
    let has = |key: &str| arguments.contains_key(key);
    let command = if has("old_str") {
        "str_replace"
    } else if has("insert_line") {
        "insert"
    } else if has("file_text") {
        "create"
    } else if has("path") {
        "view"
    } else {
        return Err("command is required and cannot be told from the other parameters".to_owned());
    };
    arguments.shift_insert(0, "command".to_owned(), Value::from(command));
    Ok(())
}
