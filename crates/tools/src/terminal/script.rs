//! The lines the shell is given: each is short enough for the terminal and says nothing of its own.
//!
//! A command may redefine every word that stands here. `\builtin` is no alias, and passes over functions; what else is
//! done to a shell shows in its next record, or in that there is none.

use super::quote::push_quoted;
use super::record::{begin_format, end_command, prompt, prompt_command};

/// The first line a shell gets: no history, the record as prompt, and its directory, which a profile may have left.
pub fn preparation(token: &str, directory: &str) -> Vec<u8> {
    let mut line = "\\builtin set +o history; \\builtin history -c; ".to_owned();
    line.push_str("\\builtin unset HISTFILE MAILCHECK PROMPT_COMMAND; __prompt_r() { return \"$1\"; }; ");
    let words = [
        ("p", prompt_command()),
        ("q", prompt(token)),
        ("b", begin_format(token)),
        ("e", end_command(token)),
    ];
    line.push_str("\\builtin declare -r");
    for (name, text) in words {
        line.push_str(&format!(" __prompt_{name}="));
        push_quoted(&mut line, &text);
    }
    line.push_str("; \\builtin test . -ef ");
    push_quoted(&mut line, directory);
    line.push_str(" || \\builtin cd -- ");
    push_quoted(&mut line, directory);
    line.push_str("; \\builtin set +o vi +o emacs; __prompt_n=0 PROMPT_COMMAND=$__prompt_p\n");
    line.into_bytes()
}

/// The shell's own input and output belong on the terminal, wherever the last command has left them. `builtin exec` would
/// redirect itself alone.
const MEND: &str = "{ \\builtin test -t 0 && \\builtin test -t 1 && \\builtin test -t 3; } 3>&2 2>/dev/null \
    || { __prompt_x=f; \\builtin unset -f exec; \\exec </dev/tty >/dev/tty 2>&1; }";

/// Puts back what a command may have changed. Where the prompt is not what it should be, nobody would hear of the
/// command's end later: so it is said at once.
const TIDY: &str = "{ __prompt_s=$?; \\builtin set +o vi +o emacs +v +k; \\builtin shopt -s promptvars; \
    \\builtin shopt -u extdebug; \\builtin unset PROMPT_COMMAND; \\builtin declare PROMPT_COMMAND=\"$__prompt_p\" || \\builtin :; \
    \\builtin declare +n +u +l +i PS1=\"$__prompt_q\" PS2= || \\builtin :; \
    \\builtin test \"${PS1-}\" = \"$__prompt_q\" || { __prompt_x=r; \\builtin eval \"$__prompt_e\"; }; } 2>/dev/null";

/// Runs `command` by `eval` with the previous status in `$?`. The text that is run says itself that it begins, so
/// that neither is possible without the other. What belongs to us is kept out of `set -x`.
///
/// The redirection in front does nothing (one of the standard input would fork): after some syntax errors bash does
/// not know an `if` as the first thing on a line.
pub fn command_line(sequence: u64, status: i32, command: &str, exports: &[(String, String)]) -> Vec<u8> {
    let mut line =
        "2>/dev/null; if { \\builtin unset __prompt_s __prompt_x __prompt_y; } 2>/dev/null; ".to_owned();
    line.push_str(&format!("{MEND}; {{ "));
    for (name, value) in exports {
        line.push_str(&format!("\\builtin export {name}="));
        push_quoted(&mut line, value);
        line.push_str("; ");
    }
    line.push_str(&format!(
        "__prompt_n={sequence}; \\builtin declare PS1=\"$__prompt_q\" PS2=; \
         \\builtin test \"${{-#*x}}\" = \"$-\" || {{ __prompt_y=x; \\builtin set +x; }}; }} 2>/dev/null; then "
    ));
    push_run(&mut line, &format!("{}{command}", begin(status)), command);
    line.push_str(&format!("; fi; {TIDY}; {MEND}\n"));
    line.into_bytes()
}

/// The first line of every text that is run. `&&` keeps `set -e` from taking the status for a failure.
fn begin(status: i32) -> String {
    let mut line = "{ \\builtin printf \"$__prompt_b\" \"$__prompt_n\" >/dev/tty; ".to_owned();
    line.push_str("\\builtin test -z \"${__prompt_y-}\" || \\builtin set -x; ");
    if status != 0 {
        line.push_str(&format!("__prompt_r {status} && \\builtin :; "));
    }
    line + "} 2>/dev/null\n"
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
