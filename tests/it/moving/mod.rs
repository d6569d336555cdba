//! Moving in from the peer and out to it: the fixture is what a real server of 1.58.2 has written (`tests/moving/record.py`
//! makes it anew), with what it answered then.

mod again;
mod anew;
#[cfg(feature = "cluster")]
mod cluster;
mod damaged;
mod folders;
mod homes;
mod in_place;
mod odd;
mod own;
mod peer;
mod python;
mod there;
mod twice;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// Also in the script that made the fixture.
const KEY: &str = "the key of the fixture";

/// Conversations of the fixture: one that has ended, one that waits for its user, one that was made of the first.
const WORKING: &str = "11111111-1111-4111-8111-111111111111";
const WAITING: &str = "22222222-2222-4222-8222-222222222222";
const FORKED: &str = "33333333-3333-4333-8333-333333333333";

/// A place for a server of ours, and the folders of the peer beside it.
struct Mover {
    start: Start,
}

impl Mover {
    /// `model`: the address that the peer's models have.
    fn new(model: &str) -> Self {
        Self::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/moving/peer-1.58.2"), model)
    }

    /// Beside folders that `record.py` has made.
    fn of(fixture: &Path, model: &str) -> Self {
        let start = Start::new(BINARY);
        let home = start.folder().join("user").display().to_string();
        let mover = Self { start: start.with("HOME", &home).with("OH_SECRET_KEY", KEY) };
        let peer = mover.peer();
        for folder in ["workspace", "home"] {
            folders::copy(&fixture.join(folder), &peer.join(folder), &|text| {
                text.replace("/peer", &peer.display().to_string()).replace("http://model.invalid/v1", model)
            });
        }
        std::fs::create_dir_all(peer.join("project")).unwrap();
        mover
    }

    fn peer(&self) -> PathBuf {
        self.start.folder().join("peer")
    }

    /// The folder of a conversation of the peer.
    fn conversation(&self, id: &str) -> PathBuf {
        self.peer().join("workspace/conversations").join(id.replace('-', ""))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .current_dir(self.start.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.start.folder().join("user"))
            .env("OH_SECRET_KEY", KEY)
            .env("LOG_LEVEL", "warn")
            .stdin(Stdio::null());
        command
    }

    fn import_command(&self) -> Command {
        let (workspace, home) = (self.peer().join("workspace"), self.peer().join("home"));
        let mut command = self.command(&["import"]);
        command.arg(workspace).arg("--home").arg(home);
        command
    }

    fn import(&self) -> Told {
        Told::of(self.import_command().output().unwrap())
    }

    fn export(&self, folder: &Path) -> Told {
        Told::of(self.command(&["export"]).arg(folder).output().unwrap())
    }
}

/// What a command has said, and how it ended.
#[derive(Debug)]
struct Told {
    is_success: bool,
    out: String,
    errors: String,
}

impl Told {
    fn of(output: Output) -> Self {
        Self {
            is_success: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// How many things of a kind were moved, were there, and were left out.
    fn count(&self, kind: &str) -> (u64, u64, u64) {
        let line = self.out.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(": "));
        let Some(line) = line else { return (0, 0, 0) };
        let mut numbers = line.split(", ").map(|part| part.split(' ').next().unwrap().parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap(), numbers.next().unwrap())
    }

    fn whole(self) -> Self {
        assert!(self.is_success, "{self:#?}");
        self
    }
}
