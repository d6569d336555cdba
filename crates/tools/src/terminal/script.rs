//! The lines the shell is given: each is short enough for the terminal and says nothing of its own.
//!
//! A command may redefine every word that stands here. `\builtin` is no alias, and passes over functions; what else is
//! done to a shell shows in its next record, or in that there is none ([`super::words`]).

use super::quote::push_quoted;
use super::words::{TIDY, lesson};

/// The first line a shell gets: no history, its words, and its directory, which a profile may have left.
pub fn preparation(token: &str, terminal: &str, directory: &str) -> Vec<u8> {
    let mut text =
        "\\builtin set +o history; \\builtin history -c; \\builtin unset HISTFILE MAILCHECK\n".to_owned();
    text.push_str(&lesson(token, terminal));
    text.push_str("\\builtin test . -ef ");
    push_quoted(&mut text, directory);
    text.push_str(" || \\builtin cd -- ");
    push_quoted(&mut text, directory);
    let mut line = "\\builtin eval ".to_owned();
    push_quoted(&mut line, &text);
    line.push_str(TIDY);
    line.into_bytes()
}

/// Runs `command` by `eval`, with the previous status in `$?`. The text that is run says itself that it begins, so
/// that neither is possible without the other.
pub fn command_line(sequence: u64, status: i32, command: &str, exports: &[(String, String)]) -> Vec<u8> {
    // The first word is never anything, whatever a command has defined. What was typed in the very moment in which the last
    // command ended may be the beginning of this line, and spoil that word.
    let mut line = format!("${{_+}};__prompt_n={sequence};");
    if !exports.is_empty() {
        line.push_str("{ ");
        for (name, value) in exports {
            line.push_str(&format!("\\builtin export {name}="));
            push_quoted(&mut line, value);
            line.push_str(" || \\builtin :; ");
        }
        line.push_str("} 2>/dev/null; ");
    }
    push_run(&mut line, &format!("{}{command}", begin(status)), command);
    line.push_str(TIDY);
    line.into_bytes()
}

/// The first line of every text that is run. `&&` keeps `set -e` from taking the status for a failure.
fn begin(status: i32) -> String {
    if status == 0 { "\\__prompt_b 0\n".to_owned() } else { format!("\\__prompt_b {status}&&\\builtin :\n") }
}

/// Turning line editing on inside of `eval` crashes bash; inside of a file it only takes effect at the next prompt,
/// and by then it is off again.
fn push_run(line: &mut String, text: &str, command: &str) {
    if !turns_editing_on(command) {
        line.push_str("\\builtin eval ");
        return push_quoted(line, text);
    }
    line.push_str("\\builtin source <(\\builtin printf %s ");
    push_quoted(line, text);
    line.push(')');
}

fn turns_editing_on(command: &str) -> bool {
    let words: Vec<&str> = command.split(|letter: char| letter.is_whitespace() || letter == ';').collect();
    words.windows(2).any(
        |pair| matches!(pair, [option, "vi" | "emacs"] if option.starts_with('-') && option.ends_with('o')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_command_is_short_and_redirects_once() {
        let line = String::from_utf8(command_line(1_000_000, 1, "true", &[])).unwrap();
        assert!(line.len() < 150, "{line}");
        assert_eq!(line.matches('>').count(), 1, "{line}");
    }
}
