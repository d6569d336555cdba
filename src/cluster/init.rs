//! `manyhands init`: makes the keys of a cluster once, each where only its part reads it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use credentials::folder::{self, Piece, State};

use super::revoke;
use super::settings::Cluster;
use crate::settings::Settings;

/// In the folder of the keys: NATS is still to be told of new rights.
const UNTOLD: &str = "operator/untold";

#[derive(clap::Args)]
pub struct Options {
    /// Where the keys go
    #[arg(long, default_value = "keys")]
    dir: PathBuf,
    /// Where nats-server keeps its accounts: a folder that lasts, as the server sees it
    #[arg(long, default_value = "/data/accounts")]
    accounts_dir: PathBuf,
}

/// Makes what is missing, gives what is there the rights of this release, and says what is where. `cluster` where it is known
/// how NATS is reached.
///
/// # Errors
/// When a key cannot be made or written, or keys that are needed are gone.
pub fn run(options: &Options, settings: &Settings, cluster: Option<&Cluster>) -> anyhow::Result<ExitCode> {
    hide_from_git(&options.dir)?;
    let untold = Untold::begin(&options.dir)?;
    let mut pieces = folder::make(&options.dir, &options.accounts_dir)?;
    if settings.secret_key.is_none() {
        pieces.push(text_key(&options.dir, "gateway/secret_key")?);
    }
    if settings.session_api_keys.is_empty() {
        pieces.push(text_key(&options.dir, "gateway/session_key")?);
    }
    for Piece { path, state } in &pieces {
        let state = match state {
            State::Made => "made",
            State::Kept => "kept",
            State::Renewed => "renewed",
        };
        println!("{state:<7} {:<45} {}", path.display().to_string(), purpose(path));
    }
    let some_are = |state| pieces.iter().any(|piece| piece.state == state);
    if some_are(State::Renewed) {
        println!(
            "What was renewed has the rights of this release: copy it to where its part runs elsewhere."
        );
    }
    if untold.remains(some_are(State::Renewed))? {
        println!("{}", told(&options.dir, cluster, &untold.path));
    }
    if some_are(State::Made) {
        println!("{}", advice(&options.dir));
    }
    if pieces.iter().all(|piece| piece.state == State::Kept) {
        println!("Everything was there: nothing has changed.");
    }
    Ok(ExitCode::SUCCESS)
}

/// That a server may run which has not heard of what is renewed. Noted before anything is: whoever is cut off after that leaves it
/// to the next.
struct Untold {
    path: PathBuf,
    was_there: bool,
}

impl Untold {
    fn begin(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(UNTOLD);
        let was_there = path.exists();
        // Without the operator's keys nothing is renewed.
        if !was_there && path.parent().is_some_and(Path::is_dir) {
            std::fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { path, was_there })
    }

    /// Whether there is something to tell.
    fn remains(&self, is_renewed: bool) -> anyhow::Result<bool> {
        if self.path.exists() && !self.was_there && !is_renewed {
            std::fs::remove_file(&self.path)
                .with_context(|| format!("cannot remove {}", self.path.display()))?;
        }
        Ok(self.path.exists())
    }
}

/// A server that runs has the rights of workers in its own folder, and reads `auth.conf` only when it starts. Where it cannot be
/// told, the next `init` tries again.
fn told(dir: &Path, cluster: Option<&Cluster>, untold: &Path) -> String {
    let telling = cluster.map(|cluster| {
        revoke::tell_of_account(dir, cluster)?;
        std::fs::remove_file(untold).with_context(|| format!("cannot remove {}", untold.display()))
    });
    match telling {
        Some(Ok(())) => "NATS knows what workers may do now.".to_owned(),
        Some(Err(error)) => format!("NATS was not told: restart it, or `init` again. {error:#}"),
        None => "NATS knows of it when it starts next, or by `init` with OH_NATS_URL.".to_owned(),
    }
}

/// Before any key is there: the folder may lie in a checkout, of which everything is committed by a careless
/// `git add`.
fn hide_from_git(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(".gitignore");
    let written = std::fs::create_dir_all(dir).and_then(|()| match path.exists() {
        true => Ok(()),
        false => std::fs::write(&path, "*\n"),
    });
    match written {
        // Where only the folders in it may be written to, there is no checkout.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Ok(())
        }
        written => written.with_context(|| format!("cannot make {}", path.display())),
    }
}

fn text_key(dir: &Path, name: &str) -> anyhow::Result<Piece> {
    let path = dir.join(name);
    let state = if path.exists() { State::Kept } else { State::Made };
    vault::machine_key(&path).with_context(|| format!("cannot read or make {}", path.display()))?;
    Ok(Piece { path, state })
}

fn purpose(path: &Path) -> &'static str {
    let names: Vec<_> = path.iter().rev().take(2).filter_map(|name| name.to_str()).collect();
    match names[..] {
        ["operator", ..] => "makes all the others; no part of the cluster needs it",
        ["auth.conf", ..] => "nats.conf includes it; no secret",
        ["minter.json", ..] => "signs workers in; the supervisor's alone",
        ["credentials.json", "gateway"] => "signs the gateways in to NATS",
        ["credentials.json", ..] => "signs the supervisor in to NATS",
        ["secret_key", ..] => "seals stored secrets (OH_SECRET_KEY); the gateways' alone",
        ["session_key", ..] => "the clients' X-Session-API-Key",
        _ => "",
    }
}

fn advice(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "Keep a copy of {dir}/operator and {dir}/gateway/secret_key in a safe place: without the first nobody can be \
         taken out again, without the second stored secrets cannot be opened. {dir}/operator may be moved away now."
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::*;

    #[test]
    fn git_sees_nothing_of_the_keys() {
        let checkout = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let ran = Command::new("git").arg("-C").arg(checkout.path()).args(arguments).output().unwrap();
            String::from_utf8(ran.stdout).unwrap()
        };
        git(&["init", "-q"]);
        let options = Options { dir: checkout.path().join("keys"), accounts_dir: "/data/accounts".into() };
        let settings = Settings::from_source(&crate::settings::load(BTreeMap::new()).unwrap()).unwrap();
        run(&options, &settings, None).unwrap();
        assert!(options.dir.join("gateway/secret_key").exists());
        assert_eq!(git(&["status", "--porcelain", "--untracked-files=all"]), "");
    }

    #[test]
    fn what_a_server_has_not_heard_is_noted_before_it_is_renewed_and_only_as_long_as_it_matters() {
        let folder = tempfile::tempdir().unwrap();
        let noted = folder.path().join(UNTOLD);
        let begin = || Untold::begin(folder.path()).unwrap();
        assert!(!begin().remains(false).unwrap(), "there are no keys yet");
        std::fs::create_dir(noted.parent().unwrap()).unwrap();
        assert!(!begin().remains(false).unwrap() && !noted.exists());
        drop(begin());
        assert!(begin().remains(false).unwrap(), "the one before was cut off");
        std::fs::remove_file(&noted).unwrap();
        assert!(begin().remains(true).unwrap());
    }

    #[test]
    fn keys_of_the_environment_are_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let set = BTreeMap::from([named("OH_SECRET_KEY", "s"), named("OH_SESSION_API_KEYS_0", "k")]);
        for (name, environment, texts) in [("set", set, 0), ("unset", BTreeMap::new(), 2)] {
            let options =
                Options { dir: folder.path().join(name), accounts_dir: PathBuf::from("/data/accounts") };
            let settings = Settings::from_source(&crate::settings::load(environment).unwrap()).unwrap();
            run(&options, &settings, None).unwrap();
            let made =
                ["secret_key", "session_key"].map(|key| options.dir.join("gateway").join(key).exists());
            assert_eq!(made.into_iter().filter(|exists| *exists).count(), texts);
            run(&options, &settings, None).unwrap();
        }
    }
}
