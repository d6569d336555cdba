//! Keeps what programs of agents must not learn out of this process' own environment.
//!
//! `/proc/<pid>/environ` shows a process' first environment for as long as it lives, so unsetting a variable
//! hides nothing. The server therefore replaces itself once: the same program with an environment that holds
//! nothing but what may be inherited anyway and what libraries of the server read there themselves. All else is
//! on its standard input, in a file without a name that is emptied after it was read; beside it, where standard
//! input is for the user's own words. Children inherit that file then: it stays empty, whatever they do.
//!
//! Others of the same user cannot open that file of the process, its memory, or its environment: the process is
//! not dumpable. Only who may trace any process (root outside of a container, as a rule) still can, and such a
//! user finds the settings in memory. A proxy's password is the exception: it stays in the environment, where
//! the HTTP client looks for it, behind the same wall.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;

use anyhow::Context;
use child_environment::{Rule, Verdict};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Says to the replacement on which of its open files the rest of the environment is.
const HANDED_OVER: &str = "MANYHANDS_ENVIRONMENT_ON";

const STANDARD_INPUT: &str = "0";

/// What the process wants its standard input for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StandardInput {
    Unused,
    /// Its user's words are there: it stays as it is.
    Read,
}

/// What libraries of this program read from the environment, beside what children inherit.
const READ_BY_LIBRARIES: [&str; 10] = [
    "LOG_LEVEL",
    "NO_COLOR",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "LD_PRELOAD",
    "GLIBC_TUNABLES",
    "MALLOC_ARENA_MAX",
    "TOKIO_WORKER_THREADS",
    // Where a pod finds the API of Kubernetes; no keys.
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
];

const PROXIES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];

/// The whole environment. Returns only in a process whose own shows nothing that children may not know.
///
/// # Errors
/// When the program cannot be started again, or what was handed over cannot be read.
pub fn take(input: StandardInput) -> anyhow::Result<BTreeMap<String, String>> {
    // Other processes of this user may neither read the memory nor attach.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot protect the process")?;
    let mut variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    if let Some(on) = variables.remove(HANDED_OVER) {
        variables.extend(receive(&on)?);
        return Ok(variables);
    }
    if std::env::vars_os().all(|(name, value)| may_show(&name, &value)) {
        return Ok(variables);
    }
    hand_over(&variables, input)
}

/// `variables` and those that are no UTF-8.
pub fn whole(variables: &BTreeMap<String, String>) -> BTreeMap<OsString, OsString> {
    let texts = variables.iter().map(|(name, value)| (name.into(), value.into()));
    std::env::vars_os().chain(texts).collect()
}

fn may_show(name: &OsStr, value: &OsStr) -> bool {
    let is_own = name.to_str().is_some_and(|name| {
        READ_BY_LIBRARIES.contains(&name)
            || PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
            || name.starts_with("OTEL_") && !name.ends_with("_HEADERS")
    });
    is_own || Rule::default().judge(name, value) == Verdict::Passes
}

fn hand_over(
    variables: &BTreeMap<String, String>,
    input: StandardInput,
) -> anyhow::Result<BTreeMap<String, String>> {
    let hidden: BTreeMap<_, _> =
        variables.iter().filter(|(name, value)| !may_show(name.as_ref(), value.as_ref())).collect();
    let survives = match input {
        StandardInput::Unused => MemfdFlags::CLOEXEC,
        StandardInput::Read => MemfdFlags::empty(),
    };
    let mut file = File::from(memfd_create("environment", MemfdFlags::ALLOW_SEALING | survives)?);
    file.write_all(&serde_json::to_vec(&hidden)?)?;
    file.rewind()?;
    let program = std::env::current_exe().context("cannot find the own program")?;
    let mut same = std::process::Command::new(program);
    same.args(std::env::args_os().skip(1))
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, value)| may_show(name, value)));
    match input {
        StandardInput::Unused => same.env(HANDED_OVER, STANDARD_INPUT).stdin(file.try_clone()?),
        StandardInput::Read => same.env(HANDED_OVER, file.as_raw_fd().to_string()),
    };
    Err(same.exec()).context("cannot start again with a clean environment")
}

fn receive(on: &str) -> anyhow::Result<BTreeMap<String, String>> {
    if on == STANDARD_INPUT {
        return read_and_empty(&mut std::io::stdin());
    }
    let number: u32 = on.parse().context("the handed over environment is nowhere")?;
    let path = format!("/proc/self/fd/{number}");
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let mut file = opened.context("cannot open the handed over environment")?;
    let variables = read_and_empty(&mut file)?;
    let for_ever = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, for_ever).context("cannot seal the handed over environment")?;
    Ok(variables)
}

fn read_and_empty(file: &mut (impl Read + AsFd)) -> anyhow::Result<BTreeMap<String, String>> {
    let mut text = String::new();
    file.read_to_string(&mut text).context("cannot read the handed over environment")?;
    ftruncate(&*file, 0).context("cannot empty the handed over environment")?;
    serde_json::from_str(&text).context("the handed over environment is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_children_inherit_and_libraries_read_is_shown() {
        let shown = |name: &str, value: &str| may_show(name.as_ref(), value.as_ref());
        for name in [
            "PATH",
            "LANG",
            "JAVA_HOME",
            "LOG_LEVEL",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "KUBERNETES_SERVICE_HOST",
        ] {
            assert!(shown(name, "1"), "{name}");
        }
        for name in
            ["OH_PORT", "OH_SECRET_KEY", "SESSION_API_KEY", "OPENAI_API_KEY", "OTEL_EXPORTER_OTLP_HEADERS"]
        {
            assert!(!shown(name, "1"), "{name}");
        }
        assert!(!shown("PIP_INDEX_URL", "https://user:password@host"));
        assert!(shown("HTTPS_PROXY", "https://user:password@host"));
    }
}
