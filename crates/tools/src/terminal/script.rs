//! The lines the shell is given: each is short enough for the terminal and says nothing of its own.

use super::quote::push_quoted;
use super::record::prompt_command;

/// The first line a shell gets: no history, the record as prompt.
pub fn preparation(token: &str) -> Vec<u8> {
    let mut line =
        "set +o history; history -c; unset HISTFILE MAILCHECK; __prompt_r() { return \"$1\"; }; ".to_owned();
    line.push_str("declare -r __prompt_p=");
    push_quoted(&mut line, &prompt_command(token));
    line.push_str("; __prompt_n=0 PROMPT_COMMAND=$__prompt_p\n");
    line.into_bytes()
}

/// Runs `command` by `eval` with the previous status in `$?`. What belongs to us is kept out of `set -x`,
/// and the prompt is put back in case the command replaced it. The redirection in front does nothing (one of
/// the standard input would fork): after
/// some syntax errors bash does not know a `{` as the first thing on a line.
pub fn command_line(sequence: u64, status: i32, command: &str, exports: &[(String, String)]) -> Vec<u8> {
    let mut line = "2>/dev/null; { ".to_owned();
    for (name, value) in exports {
        line.push_str("export ");
        line.push_str(name);
        line.push('=');
        push_quoted(&mut line, value);
        line.push_str("; ");
    }
    line.push_str(&format!("__prompt_n={sequence}"));
    let joint = if status == 0 { String::new() } else { format!("; __prompt_r {status}") };
    let operator = if status == 0 { "&&" } else { "||" };
    line.push_str(&format!("{joint}; }} 2>/dev/null {operator} eval "));
    push_quoted(&mut line, command);
    line.push_str("; { __prompt_s=$? PROMPT_COMMAND=$__prompt_p; } 2>/dev/null\n");
    line.into_bytes()
}
