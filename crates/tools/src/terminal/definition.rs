//! How the terminal is told to the model and to clients, and how its calls are read.

use serde_json::{Map, Value, json};

use super::Terminal;
use super::call::Call;
use crate::args::Args;
use crate::spec::{Annotations, Spec};

const DESCRIPTION: &str = "Run a bash command in a terminal that stays open for the whole conversation.

State: the working directory, variables, functions and background jobs live on from call to call. Several lines \
are run as one script; heredocs work. Prefer `&&` where a later step makes no sense after a failed one. The \
answer ends with the exit code; above 30000 characters the middle is left out and the whole output is saved in a \
file that the answer names.

Long-running commands: after 30 seconds without new output the call comes back with exit code -1 while the \
command goes on running. Then either
- send an empty `command` to wait for more output,
- send text to it with `is_input` true (an answer to a question, a line for a REPL),
- send a key with `is_input` true: `C-c` stops it, `C-d` ends its input, `C-z` suspends it; also ENTER, TAB, ESC, \
BS, UP, DOWN, LEFT, RIGHT, HOME, END, PGUP, PGDN.
Until it has ended no other command can be started. For something slow but known, give `timeout` (seconds): the \
call then waits that long, silent or not. Start servers in the background with their output in a file: \
`python3 app.py > server.log 2>&1 &`.

Habits: look before you create (`ls`), use absolute paths, quote names with blanks. Do not use `set -e` or `exit` \
at the top level: they end the shell. If the terminal no longer answers, `reset` true gives a new one; variables \
and background jobs are lost then.";

pub fn spec() -> Spec {
    let parameters = json!({
        "type": "object",
        "properties": {
            "command": {
                "type": "string",
                "description": "The command to run. Empty: wait for more output of the running command. With \
                    `is_input`: the text or key to send to it.",
            },
            "is_input": {
                "type": "boolean",
                "description": "True: `command` is input for the command that is running, not a new command. \
                    Default false.",
            },
            "timeout": {
                "type": "number",
                "description": "Seconds to wait at most, counted from this call; the command goes on running \
                    afterwards. Without it the call returns after 30 seconds of silence.",
            },
            "reset": {
                "type": "boolean",
                "description": "True: end this terminal and start a new one, then run `command` if there is \
                    one. Not together with `is_input`. Default false.",
            },
        },
        "required": ["command"],
    });
    let hints = Annotations {
        titled: true,
        read_only: false,
        destructive: true,
        idempotent: false,
        open_world: true,
    };
    Spec::of::<Terminal>(DESCRIPTION, parameters, hints)
}

pub fn parse(arguments: &Map<String, Value>) -> Result<Call, String> {
    let mut args = Args::new(arguments);
    let command = args.text("command");
    if command.contains('\0') {
        args.problem("`command` holds a NUL character, which a shell cannot take");
    }
    let is_input = args.flag("is_input");
    let timeout = args.amount("timeout");
    let reset = args.flag("reset");
    args.finish()?;
    Ok(Call { command, is_input, timeout, reset })
}
