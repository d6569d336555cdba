//! The functions the shell is taught once: what every line, and the prompt, is made of.
//!
//! bash reads a line letter by letter, and a redirection is ten calls of the system: so the line of a command is short,
//! and what it calls was read when the shell was started. The functions are read-only, and whatever a command does to the
//! words that stand in them shows in its record, or in that there is none.
//!
//! ```text
//!   ${_+};__prompt_n=5;\builtin eval '__prompt_b … the command';{ __prompt_c; } 2>/dev/null||…      the line
//!   { __prompt_p; } 2>&"$__prompt_f"; …                                                            the prompt command
//! ```
//!
//! - `b`, in the text that runs the command, says that it begins. Its argument is the status to begin with.
//! - `c` keeps the status and puts back what the command may have changed. While nothing has changed that is one
//!   comparison. It is silent, as `set -x` may be on. Where it cannot be called the status is lost, and `x` says so.
//! - `p` puts the shell's own input and output back on the terminal, throws away what the command has not read of its input,
//!   which the shell would run, and prints the record, by the very words that run commands: where it comes, the next command
//!   will be run by them. Where it cannot, the prompt itself is the record. After the record it throws nothing away: that
//!   would be the next line. What it throws away ends with a silence, not with an empty terminal: more may be on its way, and
//!   `read` may hold lines that the terminal has no longer.
//!
//! A line that was cut short by a Ctrl-C has not called `c`: then `p` does, with its errors closed (`f`), and is called again
//! to say what it has to. What it does there to `set -v` bash undoes after the prompt command: then it forgets `o`, and has an
//! empty command run first, which shows. Where the prompt command cannot be put back, the line calls `p` (`k`).
//!
//! bash prints a thousand bytes at once, and what a job prints may come in between. So the record of an end is short: where
//! the shell is goes with it only while that is (400 letters, of which few are of three bytes), and otherwise before it,
//! with its length. If that comes in pieces, `$PATH` is taken to be what it was; the directory goes with the record as well,
//! unless it alone is so long.
//!
//! Variables: `n` the command's number, empty when its record is printed; `s` its status, empty until `c` has run; `x` the
//! state of the record; `y` that `set -x` is to be on while commands run; `o` what the options and prompts should be; `t`
//! the terminal; `z` what is needed for a moment. All but `t` are written before the record is printed, so that a read-only
//! one shows.

use super::quote::push_quoted;

/// Follows every command, and the preparation.
pub const TIDY: &str = ";{ \\__prompt_c; } 2>/dev/null||__prompt_x=u;${__prompt_k:+\"$__prompt_k\"}\n";

/// The same before a command, where the last line was not followed by it: `set -x` may still be on. The redirection in front
/// does nothing: after some syntax errors bash does not know a `{` as the first thing on a line.
pub const TIDY_FIRST: &str = "2>/dev/null; { \\__prompt_c; } 2>/dev/null; ";

/// `&&` and `||` keep `set -e` from ending the shell in here. A plain assignment to a read-only variable ends the whole
/// line: those to the prompts are made by `declare`. `builtin exec` would redirect itself alone. No line that is read holds a
/// newline: where the variable still does, it was not `read` that was called. Nor is what is read to be calculated: bash gives
/// the last word of each command to `_`.
const FUNCTIONS: &str = r#"
__prompt_b() {
    __prompt_s= __prompt_x= __prompt_f=-
    \builtin printf '\036TOKEN\037%s\037begun\036TOKEN\036' "$__prompt_n"
    [[ -z $__prompt_y ]] || { __prompt_y=; \builtin set -x; \builtin return "$1"; } 2>/dev/null
    \builtin return "$1"
}
__prompt_c() {
    __prompt_n=$__prompt_n __prompt_x=$__prompt_x __prompt_y=$__prompt_y __prompt_f=2 __prompt_s=${__prompt_s:-$?}
    \builtin test "$SHELLOPTS:$BASHOPTS:${PS1-}:${PS2-}:${PS0-}:${PROMPT_COMMAND[*]-}" = "$__prompt_o" || {
        [[ $- != *x* ]] || __prompt_y=x
        \builtin set +o vi +o emacs +v +k +x
        \builtin shopt -s promptvars
        \builtin shopt -u extdebug
        \builtin unset PROMPT_COMMAND PS0
        \builtin declare -g PROMPT_COMMAND="$__prompt_w"
        \builtin declare -g +n PS1 PS2
        \builtin declare -g +u +l +i PS1="$__prompt_q" PS2=
        \builtin declare -g +x PS1 PS2 PROMPT_COMMAND
        __prompt_o=$SHELLOPTS:$BASHOPTS:$__prompt_q:::$__prompt_w __prompt_k=
        [[ ${PROMPT_COMMAND[*]-} == "$__prompt_w" ]] || __prompt_k=__prompt_p
        [[ ${PS1-}:${PS2-}:${PS0-} == "$__prompt_q::" ]] || __prompt_x=r
        \builtin :
    } || \builtin :
}
__prompt_p() {
    case $__prompt_s:$- in
        :*v*) { \__prompt_c; } 2>/dev/null; __prompt_x=${__prompt_x:-ps} __prompt_o=; \builtin return 0 ;;
        :*) { \__prompt_c; } 2>/dev/null; \builtin return 0 ;;
    esac
    [[ -t 2 && ( /dev/fd/0 -ef $__prompt_t && /dev/fd/1 -ef $__prompt_t || -z $__prompt_t && -t 0 && -t 1 ) ]] || {
        __prompt_x=${__prompt_x:-f}
        \builtin declare -g __prompt_t="${__prompt_t:+/dev/tty}" || \builtin :
        \builtin unset -f exec
        \exec </dev/tty >/dev/tty 2>&1
    }
    [[ -z $__prompt_n ]] || ! \builtin read -t 0 2>&- || while
        \builtin declare -g +i _ __prompt_z
        __prompt_z=$'\n'
        [[ -t 0 ]] && { \builtin read -r -t 0.25 __prompt_z || [[ $? -lt 128 ]] || \builtin read -t 0; } &&
            [[ $__prompt_z != $'\n' ]]
    do
        \builtin :
    done 2>/dev/null
    __prompt_z=$'\037'${PWD-}$'\037'${PATH-}
    [[ ${#__prompt_z} -lt 400 ]] || {
        \builtin printf '\036TOKEN\037place\037%s%s\036TOKEN\036' "${#__prompt_z}" "$__prompt_z" || \builtin :
        __prompt_z=$'\037'${PWD-}
        [[ ${#__prompt_z} -lt 400 ]] || __prompt_z=
    }
    \builtin eval "$__prompt_e" || \builtin :
}
\builtin readonly -f __prompt_b __prompt_c __prompt_p
"#;

/// `e`: the record of a command's end. Nothing but its having been printed keeps the prompt from being one.
const RECORD: &str = "\\builtin printf '\\036TOKEN\\037%s\\037%s\\037%s%s\\036TOKEN\\036' \
    \"$__prompt_n\" \"$__prompt_s\" \"$__prompt_x\" \"$__prompt_z\" && __prompt_n=";

/// `q`: the prompt. It is a record itself while none is printed, and nothing afterwards.
const PROMPT: &str = "${__prompt_n:+\\036TOKEN\\037$__prompt_n\\037${__prompt_s:-$?}\\037p${__prompt_s:+s}\\037\
    ${PWD-}\\037${PATH-}\\036TOKEN\\036}";

/// `w`: the prompt command.
const PROMPT_COMMAND: &str = "{ \\__prompt_p; } 2>&\"$__prompt_f\"; ${__prompt_n:+\"__prompt_p\"}";

/// What teaches a shell the words; `terminal` is the path of its terminal. Where that, or `/dev/fd`, is not to be
/// found, any terminal is as good.
pub fn lesson(token: &str, terminal: &str) -> String {
    let mut text = FUNCTIONS.to_owned();
    text.push_str("\\builtin declare -r");
    for (name, word) in [("w", PROMPT_COMMAND), ("q", PROMPT), ("e", RECORD)] {
        text.push_str(&format!(" __prompt_{name}="));
        push_quoted(&mut text, word);
    }
    text.push_str("\n__prompt_t=");
    push_quoted(&mut text, terminal);
    text.push_str("\n[[ -e /dev/fd/0 && -c $__prompt_t ]] || __prompt_t=\n");
    text.push_str("__prompt_n=0 __prompt_s= __prompt_x= __prompt_y= __prompt_o= __prompt_k= __prompt_f=-\n");
    text.replace("TOKEN", token)
}
