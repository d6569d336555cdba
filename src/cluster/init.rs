//! `manyhands init`: makes the keys of a cluster once, each where only its part reads it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use credentials::folder::{self, Piece, State};

use super::revoke;
use super::settings::Cluster;
use crate::settings::{Settings, Source};

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
    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    place: super::secrets::Place,
}

/// Makes what is missing, gives what is there the rights of this release, and says what is where. `cluster` where it is known
/// how NATS is reached.
///
/// # Errors
/// When a key cannot be made or written, or keys that are needed are gone.
pub fn run(
    options: &Options,
    source: &Source,
    settings: &Settings,
    cluster: Option<&Cluster>,
) -> anyhow::Result<ExitCode> {
    #[cfg(not(feature = "kubernetes"))]
    let _ = source;
    #[cfg(feature = "kubernetes")]
    if let Some(release) = options.place.release() {
        return options.place.with_folder(release, source, |dir, keep| {
            make(&Shown::secrets(dir, release), &options.accounts_dir, settings, cluster, keep)
        });
    }
    hide_from_git(&options.dir)?;
    make(&Shown::folder(&options.dir), &options.accounts_dir, settings, cluster, &mut || Ok(()))
}

/// A folder of keys, and how what is in it is called.
pub struct Shown<'a> {
    pub dir: &'a Path,
    begins: String,
}

impl<'a> Shown<'a> {
    pub fn folder(dir: &'a Path) -> Self {
        Self { dir, begins: format!("{}/", dir.display()) }
    }

    #[cfg(feature = "kubernetes")]
    pub fn secrets(dir: &'a Path, release: &str) -> Self {
        Self { dir, begins: format!("{release}-") }
    }

    pub fn name(&self, path: &Path) -> String {
        format!("{}{}", self.begins, path.strip_prefix(self.dir).unwrap_or(path).display())
    }
}

/// `keep` brings what is in the folder to where it is kept: before NATS is told of it, and after.
fn make(
    shown: &Shown<'_>,
    accounts_dir: &Path,
    settings: &Settings,
    cluster: Option<&Cluster>,
    keep: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let dir = shown.dir;
    let untold = Untold::begin(dir)?;
    let mut pieces = folder::make(dir, accounts_dir)?;
    if settings.secret_key.is_none() {
        pieces.push(text_key(dir, "gateway/secret_key")?);
    }
    if settings.session_api_keys.is_empty() {
        pieces.push(text_key(dir, "gateway/session_key")?);
    }
    let some_are = |state| pieces.iter().any(|piece| piece.state == state);
    let remains = untold.remains(some_are(State::Renewed))?;
    keep()?;
    for Piece { path, state } in &pieces {
        let state = match state {
            State::Made => "made",
            State::Kept => "kept",
            State::Renewed => "renewed",
        };
        println!("{state:<7} {:<45} {}", shown.name(path), purpose(path));
    }
    if some_are(State::Renewed) {
        println!(
            "What was renewed has the rights of this release: copy it to where its part runs elsewhere."
        );
    }
    if remains {
        println!("{}", told(dir, cluster, &untold.path));
        keep()?;
    }
    if some_are(State::Made) {
        println!("{}", advice(&shown.begins));
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

fn advice(begins: &str) -> String {
    format!(
        "Keep a copy of {begins}operator and {begins}gateway/secret_key in a safe place: without the first nobody can be \
         taken out again, without the second stored secrets cannot be opened. {begins}operator may be moved away now."
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use clap::Parser;

    use super::*;

    fn at(dir: PathBuf) -> Options {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        Line::parse_from(["init".into(), "--dir".into(), dir.into_os_string()]).options
    }

    #[test]
    fn git_sees_nothing_of_the_keys() {
        let checkout = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let ran = Command::new("git").arg("-C").arg(checkout.path()).args(arguments).output().unwrap();
            String::from_utf8(ran.stdout).unwrap()
        };
        git(&["init", "-q"]);
        let options = at(checkout.path().join("keys"));
        let source = crate::settings::load(BTreeMap::new()).unwrap();
        let settings = Settings::from_source(&source).unwrap();
        run(&options, &source, &settings, None).unwrap();
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
            let options = at(folder.path().join(name));
            let source = crate::settings::load(environment).unwrap();
            let settings = Settings::from_source(&source).unwrap();
            run(&options, &source, &settings, None).unwrap();
            let made =
                ["secret_key", "session_key"].map(|key| options.dir.join("gateway").join(key).exists());
            assert_eq!(made.into_iter().filter(|exists| *exists).count(), texts);
            run(&options, &source, &settings, None).unwrap();
        }
    }
}
