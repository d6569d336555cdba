//! The environment of commands: the worker's without what looks like a secret of its own.

use std::ffi::{OsStr, OsString};

const SECRET_WORDS: [&str; 7] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "SESSION"];

/// Names with a word of a secret in them that every desktop and shell has.
const HARMLESS: [&str; 3] = ["DBUS_SESSION_BUS_ADDRESS", "XDG_SESSION_ID", "XDG_SESSION_TYPE"];

/// Variables for a command, from those of this process.
pub(super) fn for_commands(own: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let mut passed: Vec<_> = own.filter(|(name, _)| may_pass(name)).collect();
    if !passed.iter().any(|(name, _)| name == "AI_AGENT") {
        passed.push(("AI_AGENT".into(), "openhands".into()));
    }
    passed
}

fn may_pass(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    if HARMLESS.contains(&name.as_str()) {
        return true;
    }
    !name.starts_with("OH_") && !SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_server_do_not_reach_commands() {
        let own =
            ["PATH", "OH_SECRET_KEY", "OH_X", "SESSION_API_KEY", "OPENAI_API_KEY", "GITHUB_TOKEN", "LANG"];
        let passed = for_commands(own.iter().map(|name| (OsString::from(name), OsString::from("1"))));
        let names: Vec<_> = passed.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["PATH", "LANG", "AI_AGENT"]);
    }
}
