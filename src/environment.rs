//! Keeps the server's secrets out of reach of what it runs.
//!
//! `/proc/<pid>/environ` shows a process' first environment for as long as it lives, to every process of the
//! same user, so unsetting a variable hides nothing. When the environment holds secrets the server therefore
//! replaces itself once: the same program with a clean environment, the secrets on its standard input, in a
//! file without a name that is emptied after it was read.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;

use anyhow::Context;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Says to the replacement that its standard input holds the secrets.
const HANDED_OVER: &str = "MANYHANDS_SECRETS_ON_STDIN";

/// The names of secrets; those of lists go on with `_` and a number.
const SECRETS: [&str; 6] = [
    "OH_SECRET_KEY",
    "OH_PREVIOUS_SECRET_KEYS",
    "OH_SESSION_API_KEYS",
    "SESSION_API_KEY",
    "OH_JWT_SECRET",
    "OH_JWT_PREVIOUS_SECRETS",
];

/// The environment with its secrets. Returns only in a process whose own environment holds none.
///
/// # Errors
/// When the program cannot be started again, or what was handed over cannot be read.
pub fn take() -> anyhow::Result<BTreeMap<String, String>> {
    // Other processes of this user may neither read the memory nor attach.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot protect the process")?;
    let mut variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    if variables.remove(HANDED_OVER).is_some() {
        variables.extend(receive()?);
        return Ok(variables);
    }
    let secrets: BTreeMap<_, _> = variables.iter().filter(|(name, _)| is_secret(name)).collect();
    if secrets.is_empty() {
        return Ok(variables);
    }
    hand_over(&secrets)
}

fn is_secret(name: &str) -> bool {
    SECRETS
        .iter()
        .any(|secret| name.strip_prefix(secret).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}

fn hand_over(secrets: &BTreeMap<&String, &String>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut file = std::fs::File::from(memfd_create("secrets", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut file, secrets)?;
    file.flush()?;
    file.rewind()?;
    let mut same =
        std::process::Command::new(std::env::current_exe().context("cannot find the own program")?);
    same.args(std::env::args_os().skip(1)).stdin(file).env(HANDED_OVER, "1");
    for name in secrets.keys() {
        same.env_remove(name);
    }
    Err(same.exec()).context("cannot start again without secrets in the environment")
}

fn receive() -> anyhow::Result<BTreeMap<String, String>> {
    let mut text = String::new();
    let stdin = std::io::stdin();
    stdin.lock().read_to_string(&mut text).context("cannot read the handed over secrets")?;
    ftruncate(&stdin, 0).context("cannot empty the handed over secrets")?;
    serde_json::from_str(&text).context("the handed over secrets are damaged")
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn secret_variables_are_known_by_name() {
        for name in [
            "OH_SECRET_KEY",
            "OH_SESSION_API_KEYS_0",
            "OH_SESSION_API_KEYS",
            "SESSION_API_KEY",
            "OH_JWT_SECRET",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["OH_PORT", "OH_SECRET_KEYBOARD", "OH_JWT_ISSUER", "PATH"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
