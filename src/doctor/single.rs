//! What a server of one process needs here.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use control::Refusal;
use secrecy::SecretString;

use super::Finding::{self, Broken, Doubtful, Fine};
use crate::client;
use crate::descriptors::Descriptors;
use crate::serve::Reach;
use crate::serving;
use crate::settings::{Settings, Source};

/// Below this much free space a server soon cannot write.
const LOW_DISK: u64 = 1 << 30;
/// With fewer files that may be open, there is little room for clients.
const FEW_FILES: u64 = 4_096;
/// A sync that takes longer makes every acknowledged event slow.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// 2026-01-01: an earlier clock is wrong.
const EARLIEST_NOW: u64 = 1_767_225_600;

/// # Errors
/// When the checks themselves cannot run.
pub fn findings(
    reach: &Reach,
    settings: &Settings,
    source: &Source,
) -> anyhow::Result<Vec<(&'static str, Finding)>> {
    let data = settings.state_dir();
    Ok(vec![
        ("keys", keys(settings)),
        ("address", address(reach, settings)?),
        ("data", writable(&data, "start in another folder or set OH_CONVERSATIONS_PATH")),
        ("client", of_client(source)),
        ("sync", sync_time(&data)),
        ("disk", free_space(&data)),
        ("files", open_files()),
        ("journal", set_aside(&data)),
        ("secrets", stored_secrets(settings)?),
        ("bash", program("bash", "the agent's terminal needs it")),
        ("git", program("git", "the git routes and the agents need it")),
        ("children", children()),
        ("clock", clock()),
    ])
}

fn keys(settings: &Settings) -> Finding {
    match (settings.session_api_keys.len(), &settings.secret_key) {
        (0, _) if settings.is_open() => Doubtful(
            "no session key: only loopback is served; set OH_SESSION_API_KEYS_0 to open it".to_owned(),
        ),
        (n, None) => Doubtful(format!(
            "{n} session key(s); secrets are sealed with a key kept beside the data, set OH_SECRET_KEY to keep it elsewhere"
        )),
        (n, Some(_)) => Fine(format!("{n} session key(s), and a secret key")),
    }
}

pub fn address(reach: &Reach, settings: &Settings) -> anyhow::Result<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = match runtime.block_on(serving::address(reach, settings)) {
        Ok(address) => address,
        Err(error) => return Ok(Broken(format!("{error:#}"))),
    };
    Ok(match std::net::TcpListener::bind(address) {
        Ok(_) => Fine(format!("{address} is free")),
        Err(error) => Broken(format!("{address}: {error}; stop what uses it, or choose another --port")),
    })
}

fn writable(data: &Path, advice: &str) -> Finding {
    match trial(data) {
        Ok(_) => Fine(format!("{} can be written", data.display())),
        Err(error) => Broken(format!("{}: {error}; {advice}", data.display())),
    }
}

/// Where `manyhands run` and its like keep conversations.
fn of_client(source: &Source) -> Finding {
    match client::data(source) {
        // A server does without.
        Ok(Some(data)) => {
            match writable(&data, "name another folder with --data where you call `manyhands run`") {
                Broken(text) => Doubtful(text),
                found => found,
            }
        }
        Ok(None) => Fine("`manyhands run` keeps conversations there, too".to_owned()),
        Err(error) => Doubtful(error.to_string()),
    }
}

/// A file below `folder`, or where that would be made: nothing is there afterwards that was not before.
///
/// # Errors
/// Where none can be made.
pub fn trial(folder: &Path) -> io::Result<File> {
    let path = there(folder).join(format!(".manyhands-doctor-{}", std::process::id()));
    let file = File::create_new(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The folder, or the nearest above it that is there.
fn there(folder: &Path) -> &Path {
    let is_there = |folder: &&Path| folder.as_os_str().is_empty() || folder.symlink_metadata().is_ok();
    let found = folder.ancestors().find(is_there).filter(|found| !found.as_os_str().is_empty());
    found.unwrap_or(Path::new("."))
}

fn sync_time(data: &Path) -> Finding {
    let timed = trial(data).and_then(|mut file| {
        let began = Instant::now();
        file.write_all(&[b'x'; 4096])?;
        file.sync_data()?;
        Ok(began.elapsed())
    });
    match timed {
        Ok(took) if took > SLOW_SYNC => Doubtful(format!(
            "a sync takes {took:?}: events are acknowledged slowly; a faster disk, or OH_FSYNC=interval"
        )),
        Ok(took) => Fine(format!("a sync takes {took:?}")),
        Err(error) => Broken(format!("cannot sync: {error}")),
    }
}

pub fn free_space(data: &Path) -> Finding {
    match rustix::fs::statvfs(there(data)) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let text = format!("{} MiB free", free >> 20);
            if free < LOW_DISK {
                Doubtful(format!("{text}: make room before it is full"))
            } else {
                Fine(text)
            }
        }
        Err(error) => Broken(format!("cannot ask: {error}")),
    }
}

/// As the server itself would have it.
pub fn open_files() -> Finding {
    let files = Descriptors::raise();
    let (limit, connections) = (files.limit(), files.connections());
    let text = format!(
        "{limit} may be open: {connections} connections, {} commands and {} shells of agents that rest at one time",
        files.commands(),
        files.shells()
    );
    match limit < FEW_FILES {
        true => Doubtful(format!("{text}; raise the hard limit (ulimit -Hn, LimitNOFILE=) to serve more")),
        false => Fine(text),
    }
}

fn set_aside(data: &Path) -> Finding {
    let folder = data.join("journal/set-aside");
    match std::fs::read_dir(&folder).map_or(0, Iterator::count) {
        0 => Fine("nothing of it had to be set aside".to_owned()),
        count => Doubtful(format!(
            "{count} segment(s) could not be applied as a whole and are kept in {}; the server's log said what is missing",
            folder.display()
        )),
    }
}

/// Those that the server would not be able to open. Only what is there is looked at: no key is made.
fn stored_secrets(settings: &Settings) -> anyhow::Result<Finding> {
    let data = settings.state_dir();
    let key = match &settings.secret_key {
        Some(key) => Ok(key.clone()),
        None => {
            std::fs::read_to_string(serving::key_file(settings)).map(|key| SecretString::from(key.trim()))
        }
    };
    let has_key = key.is_ok();
    let vault = serving::vault(&key.unwrap_or_else(|_| SecretString::from("")), settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let looking = Arc::new(embedded::Looking::at(&data));
    let found = runtime.block_on(control::unreadable_secrets(looking, Arc::new(vault)));
    let but = if has_journal(&data) { "; what is still in the journal is not looked at" } else { "" };
    let fine = format!("none is stored that the keys do not open{but}");
    Ok(judged(found, has_key, fine))
}

/// Beside a server that runs, or after one that was killed.
fn has_journal(data: &Path) -> bool {
    let Ok(segments) = std::fs::read_dir(data.join("journal")) else { return false };
    segments
        .flatten()
        .any(|segment| segment.metadata().is_ok_and(|segment| segment.is_file() && segment.len() > 0))
}

/// What it means that these stored secrets do not open; `fine` where there is none.
pub fn judged(unreadable: Result<Vec<String>, Refusal>, has_key: bool, fine: String) -> Finding {
    let unreadable = match unreadable {
        Ok(unreadable) if unreadable.is_empty() => return Fine(fine),
        Ok(unreadable) => unreadable,
        Err(refusal) => return Broken(format!("what is stored cannot be read: {refusal:?}")),
    };
    let advice = match has_key {
        true => {
            "set the key that they were sealed with as OH_SECRET_KEY, or add it to OH_PREVIOUS_SECRET_KEYS"
        }
        false => "the key beside the data is gone: bring its file back, or set it as OH_SECRET_KEY",
    };
    Broken(format!("the keys do not open {}; {advice}", unreadable.join("; ")))
}

fn program(name: &str, why: &str) -> Finding {
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match asked {
        Ok(output) => Fine(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or(name).to_owned()),
        Err(_) => Broken(format!("not found: {why}; install the package {name}")),
    }
}

/// What programs of agents inherit of the environment.
pub fn children() -> Finding {
    let chosen = child_environment::chosen();
    let mut names: Vec<_> = chosen.passing.iter().map(|(name, _)| name.to_string_lossy()).collect();
    names.sort();
    let inherited = format!("programs of agents inherit {}", names.join(", "));
    if chosen.withheld.is_empty() {
        return Fine(inherited);
    }
    let withheld = chosen.withheld.join(", ");
    Doubtful(format!(
        "{inherited}; not {withheld}, which may hold secrets: if agents may know one, give its exact name in OH_PASS_ENV_0, _1 and so on"
    ))
}

pub fn clock() -> Finding {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(now) if now.as_secs() >= EARLIEST_NOW => Fine(types::time::utc_now()),
        _ => {
            Broken("the clock is years behind; set it, or certificates and tokens will be refused".to_owned())
        }
    }
}
