//! The lines the shell is given: each is short enough for the terminal and says nothing of its own.

use super::quote::push_quoted;
use super::record::{begin_format, prompt, prompt_command};

/// The first line a shell gets: no history, the record as prompt, and its directory, which a profile may have left.
pub fn preparation(token: &str, directory: &str) -> Vec<u8> {
    let mut line = "set +o history; history -c; unset HISTFILE MAILCHECK PROMPT_COMMAND; ".to_owned();
    line.push_str("__prompt_r() { return \"$1\"; }; declare -r __prompt_p=");
    push_quoted(&mut line, &prompt_command(token));
    line.push_str(" __prompt_q=");
    push_quoted(&mut line, &prompt(token));
    line.push_str(" __prompt_b=");
    push_quoted(&mut line, &begin_format(token));
    line.push_str("; builtin test . -ef ");
    push_quoted(&mut line, directory);
    line.push_str(" || builtin cd -- ");
    push_quoted(&mut line, directory);
    line.push_str("; builtin set +o vi +o emacs; __prompt_n=0 PROMPT_COMMAND=$__prompt_p\n");
    line.into_bytes()
}

/// The shell's own input and output belong on the terminal, wherever the last command has left them.
const MEND: &str = "{ builtin test -t 0 && builtin test -t 1 && builtin test -t 3; } 3>&2 2>/dev/null \
    || { __prompt_x=f; exec </dev/tty >/dev/tty 2>&1; }";

/// Runs `command` by `eval` with the previous status in `$?`, and only if the shell could say that it takes it.
/// What belongs to us is kept out of `set -x`. Afterwards what a command may have changed is put back: the prompts,
/// line editing, the shell's files. The redirection in front does nothing (one of the standard input would fork):
/// after some syntax errors bash does not know an `if` as the first thing on a line.
pub fn command_line(sequence: u64, status: i32, command: &str, exports: &[(String, String)]) -> Vec<u8> {
    let mut line = format!("2>/dev/null; if {{ unset __prompt_s __prompt_x; }} 2>/dev/null; {MEND}; {{ ");
    for (name, value) in exports {
        line.push_str("export ");
        line.push_str(name);
        line.push('=');
        push_quoted(&mut line, value);
        line.push_str("; ");
    }
    line.push_str(&format!(
        "__prompt_n={sequence}; builtin declare PS1=\"$__prompt_q\" PS2=; builtin printf \"$__prompt_b\" \
         {sequence} >/dev/tty || builtin kill -9 $$; }} 2>/dev/null; then "
    ));
    if status != 0 {
        line.push_str(&format!("{{ __prompt_r {status}; }} 2>/dev/null || "));
    }
    push_run(&mut line, command);
    line.push_str(
        "; fi; { __prompt_s=$?; builtin set +o vi +o emacs +v; \
         builtin declare PS1=\"$__prompt_q\" PS2= PROMPT_COMMAND=\"$__prompt_p\"; } 2>/dev/null; ",
    );
    line.push_str(MEND);
    line.push('\n');
    line.into_bytes()
}

/// Turning line editing on inside of `eval` crashes bash; inside of a file it only takes effect at the next prompt,
/// and by then it is off again.
fn push_run(line: &mut String, command: &str) {
    if !turns_editing_on(command) {
        line.push_str("eval ");
        return push_quoted(line, command);
    }
    line.push_str("builtin source <(builtin printf %s ");
    push_quoted(line, command);
    line.push(')');
}

fn turns_editing_on(command: &str) -> bool {
    let words: Vec<&str> = command.split(|letter: char| letter.is_whitespace() || letter == ';').collect();
    words.windows(2).any(
        |pair| matches!(pair, [option, "vi" | "emacs"] if option.starts_with('-') && option.ends_with('o')),
    )
}
