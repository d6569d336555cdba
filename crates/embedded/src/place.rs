//! Which file of which folder something is in.

use ports::{Error, Result};
use types::{LogId, SandboxId};

/// Which of the data folders something is in. They may be on different file systems, and a journal outlives
/// a move of any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    Root,
    Conversations,
    BashEvents,
}

/// A file of the store: a path relative to its area.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub area: Area,
    pub path: String,
}

/// Names that begin with this belong to the store itself: no key contains it.
const OWN: char = '%';
const ESCAPED_DOT: &str = "%2E";
/// The log in the folder of a conversation.
const LOG_FILE: &str = "events.jsonl";

impl Place {
    /// The file of a log. Logs of sandboxes other than the shared one are kept apart in a folder `@<sandbox>`.
    pub fn log(log: &LogId) -> Self {
        let path = format!("{}{}", apart(log.sandbox()), log.name());
        match log {
            LogId::Bash { .. } => Self { area: Area::BashEvents, path: path + ".jsonl" },
            LogId::Snapshots { .. } => Self { area: Area::Root, path: format!("snapshots/{path}.jsonl") },
            LogId::Conversation { .. } => {
                Self { area: Area::Conversations, path: format!("{path}/{LOG_FILE}") }
            }
        }
    }

    /// The folder that the bash logs of a sandbox are in.
    pub fn bash_logs(sandbox: &SandboxId) -> Self {
        Self { area: Area::BashEvents, path: apart(sandbox) }
    }

    /// Where it is noted that a log has lost its front: beside the log, so that they move together.
    pub fn start_of(log: &Self) -> Self {
        Self { area: log.area, path: format!("{}.start", log.path) }
    }

    pub fn key(bucket: &str, key: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=200).contains(&key.len()) || !key.bytes().all(plain) {
            return Err(Error::Internal(format!("not a key: {key:?}")));
        }
        let name = match key.strip_prefix('.') {
            // `.` and `..` are no file names, and hidden files are not shown by `ls`.
            Some(rest) => format!("{ESCAPED_DOT}{rest}"),
            None => key.to_owned(),
        };
        Ok(Self { area: Area::Root, path: format!("{}/{name}", bucket_folder(bucket)?) })
    }

    /// Where the highest revision of a bucket is noted when the key that had it goes.
    pub fn highest_revision(bucket: &str) -> Result<Self> {
        Ok(Self { area: Area::Root, path: format!("{}/{OWN}revision", bucket_folder(bucket)?) })
    }
}

fn apart(sandbox: &SandboxId) -> String {
    match sandbox {
        shared if *shared == SandboxId::shared() => String::new(),
        other => format!("@{other}/"),
    }
}

/// Relative to the root.
pub fn bucket_folder(bucket: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !(1..=64).contains(&bucket.len()) || !bucket.bytes().all(plain) {
        return Err(Error::Internal(format!("not a bucket: {bucket:?}")));
    }
    Ok(format!("kv/{bucket}"))
}

/// The key kept under a file name; `None` for a file that is none.
pub fn key_of(file_name: &str) -> Option<String> {
    match file_name.strip_prefix(ESCAPED_DOT) {
        Some(rest) => Some(format!(".{rest}")),
        None => (!file_name.contains(OWN)).then(|| file_name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{BashScope, ConversationId};

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for key in ["", "../x", "a/b", "%revision", &"x".repeat(201)] {
            assert!(Place::key("B", key).is_err(), "{key:?}");
        }
        for bucket in ["", "..", "b", "A/B"] {
            assert!(Place::key(bucket, "k").is_err(), "{bucket:?}");
        }
        assert_eq!(Place::key("B", "..").unwrap().path, "kv/B/%2E.");
    }

    #[test]
    fn keys_come_back_from_their_file_names() {
        for key in ["a", ".", "..", ".a.b", "x_Y-1"] {
            let path = Place::key("B", key).unwrap().path;
            assert_eq!(key_of(path.strip_prefix("kv/B/").unwrap()).as_deref(), Some(key));
        }
        assert_eq!(key_of("%revision"), None);
    }

    #[test]
    fn logs_of_two_sandboxes_do_not_meet() {
        let other = SandboxId::parse("other").unwrap();
        let id = ConversationId::random();
        let path = |log: LogId| Place::log(&log).path;
        assert_eq!(path(LogId::bash(&SandboxId::shared(), BashScope::Sandbox)), "_bash.jsonl");
        assert_eq!(path(LogId::bash(&other, BashScope::Sandbox)), "@other/_bash.jsonl");
        assert_eq!(path(LogId::conversation(&other, id)), format!("@other/{}/events.jsonl", id.hex()));
    }
}
