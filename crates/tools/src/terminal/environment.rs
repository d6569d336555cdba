//! The environment of a shell: what programs of this process inherit, and what a terminal for a model adds.

use std::ffi::OsString;

use child_environment::Variable;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment of a new shell, made from what it inherits.
pub fn for_shell(inherited: impl Iterator<Item = Variable>) -> Vec<Variable> {
    let mut shell: Vec<_> = inherited.collect();
    if !has(&shell, |name| name == "PATH") {
        shell.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    if !has(&shell, |name| matches!(name, "LANG" | "LC_ALL" | "LC_CTYPE")) {
        shell.push(("LANG".into(), "C.UTF-8".into()));
    }
    // `dumb`: the reader is a model, so programs had better not draw.
    let fixed = [("TERM", "dumb"), ("PAGER", "cat"), ("GIT_PAGER", "cat"), ("AI_AGENT", "openhands")];
    shell.extend(fixed.map(|(name, value)| (name.into(), value.into())));
    shell
}

fn has(environment: &[(OsString, OsString)], wanted: impl Fn(&str) -> bool) -> bool {
    environment.iter().any(|(name, _)| name.to_str().is_some_and(&wanted))
}
