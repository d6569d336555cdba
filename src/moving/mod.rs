//! `manyhands import` and `manyhands export`: from the folders of the peer into our store, and from our store into such folders.
//!
//! ```text
//!   conversations/<hex>/meta.json, base_state.json ─┐   types::peer    ┌─▶ CONVERSATIONS: the record, last
//!   conversations/<hex>/events/event-00000-<id>.json ┼─────────────────▶ the log: events, then what was said of them
//!   bash_events/<stamp>_<kind>_…                     ┘                 └─▶ the log of the sandbox's commands
//!   settings.json, profiles/, provider-connections/ … ── control::setup::moving ─────▶ SETTINGS
//!   secrets.json, workspaces.json, {skills,plugins}/installed ── their shelves ──────▶ SECRETS, WORKSPACES, EXTENSIONS
//! ```
//!
//! Everything goes through the ports that a server uses, so it lands in files of one process or in NATS alike. Files belong
//! to one process: while a server has them, nothing is moved. In a cluster this has a gateway's part of the store, and serves
//! nobody; one import goes on at a time there (`Store::alone`), for a log that has no record yet is written anew.
//!
//! **Twice is once.** What is here stays as it is, and what is there already is passed over, so the same command can be given
//! again: after it was cut off, or when a key is known that it had lacked. Of a conversation the log is written first, by
//! [`ports::log::LogWriter`] with an epoch before that of any worker, and the record last: until then nobody sees it, and
//! what a cut-off attempt has left of the log is written anew. Where a worker has written, the conversation is left alone. No
//! file is removed: the peer's own may lie in the same folder. What goes out twice is compared with what was written the
//! first time (`outgoing/ledger.rs`): the peer may have gone on there.
//!
//! **Keys.** Nothing comes in where the secret key that is set is not that of the server here (`keys.rs`), which each server
//! notes at its start, unless the operator says that it is.
//!
//! **What is read is not trusted.** Below the folders that are named no link is followed, and files are read up to a
//! bound. What cannot be read is told by its name and left out; of a conversation that is an event, or all of it where
//! it has no agent or a key that does not open. All else goes on. The command then ends with a status other than 0.
//!
//! **What is kept of what we do not know**: events byte for byte (but for white space between their parts, for a record is a
//! line), fields of `meta.json` and `base_state.json` in the log's last record, opaque settings as they are.

mod files;
mod folder;
mod incoming;
mod keys;
mod outgoing;
mod progress;
mod report;
mod store;

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use types::TenantId;
use types::extensions::ExtensionKind;

use crate::settings::Settings;
use report::Report;
use store::Store;
pub use store::Where;

#[derive(clap::Args)]
pub struct ImportOptions {
    /// The folder with `conversations` and `bash_events` of the other server; as a rule `workspace`
    workspace: PathBuf,
    /// Its settings, profiles, secrets and extensions [default: .openhands in the workspace; where that has none and
    /// the tenant is the default one, OH_PERSISTENCE_DIR, else ~/.openhands]
    #[arg(long)]
    home: Option<PathBuf>,
    /// Its conversations, where they are elsewhere
    #[arg(long)]
    conversations: Option<PathBuf>,
    /// Its bash events, where they are elsewhere
    #[arg(long)]
    bash_events: Option<PathBuf>,
    /// Whose all of it is to be here
    #[arg(long, default_value = "default", value_parser = tenant)]
    tenant: TenantId,
    /// Says that the secret key that is set is the one of the server here from now on, where its own is lost: what was sealed with
    /// that one stays unusable
    #[arg(long)]
    note_this_key: bool,
}

#[derive(clap::Args)]
pub struct ExportOptions {
    /// Where to write: a new or empty folder, or one that the same tenant was exported to before
    folder: PathBuf,
    /// Whose things are written
    #[arg(long, default_value = "default", value_parser = tenant)]
    tenant: TenantId,
}

fn tenant(name: &str) -> Result<TenantId, String> {
    TenantId::try_from(name.to_owned()).map_err(str::to_owned)
}

/// What is installed and moves, each with the name of its folder.
const KINDS: [(ExtensionKind, &str); 2] =
    [(ExtensionKind::Skill, "skills"), (ExtensionKind::Plugin, "plugins")];

const CONVERSATIONS: &str = "conversations";
const BASH_EVENTS: &str = "bash_events";
/// What the peer calls `OH_PERSISTENCE_DIR`, and what it has there where it is that.
const HOME: &str = ".openhands";
const SETTINGS: [&str; 3] = ["settings.json", "secrets.json", "profiles"];

/// Beside the conversations of a server like this one.
const OWN: &str = ".manyhands";

/// The list of what is installed, beside its folders.
const INSTALLED: &str = ".installed.json";

/// Where the other server has what.
struct Source {
    conversations: PathBuf,
    bash_events: PathBuf,
    home: PathBuf,
    /// Where a list of folders may be: the first that is there counts.
    places: [PathBuf; 2],
}

impl Source {
    fn of(options: &ImportOptions, settings: &Settings) -> anyhow::Result<Self> {
        // Whoever names a link means where it leads.
        let named = |path: &Path| path.canonicalize().with_context(|| path.display().to_string());
        let workspace = named(&options.workspace)?;
        let given = |path: &Option<PathBuf>, name: &str| match path {
            Some(path) => named(path),
            None => Ok(workspace.join(name)),
        };
        let within = workspace.join(HOME);
        let home = match &options.home {
            Some(home) => named(home)?,
            None => home_of(&workspace, &options.tenant, settings),
        };
        Ok(Self {
            conversations: given(&options.conversations, CONVERSATIONS)?,
            bash_events: given(&options.bash_events, BASH_EVENTS)?,
            places: [home.clone(), within],
            home,
        })
    }
}

/// Where settings and secrets are that nobody has named. Those of whoever gives the command are nobody else's: they are taken for
/// the one tenant that the peer has, and not where an export says that it has none.
fn home_of(workspace: &Path, tenant: &TenantId, settings: &Settings) -> PathBuf {
    let within = workspace.join(HOME);
    let has_settings = SETTINGS
        .iter()
        .any(|name| folder::is_folder(&within) && within.join(name).symlink_metadata().is_ok());
    let is_export = workspace.join(outgoing::MARK).symlink_metadata().is_ok();
    if has_settings || is_export || *tenant != TenantId::default() {
        return within;
    }
    let usual = &settings.extensions.home.persistence;
    usual.canonicalize().unwrap_or_else(|_| usual.clone())
}

/// Brings everything here that is not here yet.
///
/// # Errors
/// The store or the folder cannot be used.
pub fn import(options: &ImportOptions, settings: Settings, to: Where) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(options.workspace.is_dir(), "{} is no folder", options.workspace.display());
    let source = Source::of(options, &settings)?;
    // Nobody may look any more.
    let _ = writeln!(stderr(), "settings, secrets and extensions are those in {}", source.home.display());
    if options.workspace.join(OWN).is_dir() {
        let what = "this server's own things lie there, too: they are passed over, and `manyhands export` writes them out";
        let _ = writeln!(stderr(), "{}: {what}", options.workspace.display());
    }
    moved(settings, to, async |store| {
        let bringing = async {
            keys::check(store, options.note_this_key).await?;
            incoming::bring(store, &source, &options.tenant).await
        };
        store.alone(Box::pin(bringing)).await
    })
}

/// Writes everything into a folder.
///
/// # Errors
/// The store or the folder cannot be used.
pub fn export(options: &ExportOptions, settings: Settings, from: Where) -> anyhow::Result<ExitCode> {
    let folder = std::path::absolute(&options.folder)?;
    outgoing::check(&folder, &options.tenant)?;
    moved(settings, from, async |store| outgoing::carry(store, &folder, &options.tenant).await)
}

fn moved(
    settings: Settings,
    at: Where,
    work: impl AsyncFnOnce(&Store) -> anyhow::Result<Report>,
) -> anyhow::Result<ExitCode> {
    let _traces = crate::observe::start("manyhands-moving", &settings)?;
    let runtime = crate::runtime::start()?;
    runtime.block_on(async {
        let store = Store::open(settings, at).await?;
        let report = work(&store).await;
        // What was moved until then is on the disk, whatever came after.
        store.close().await;
        let report = report.context("not everything was moved; the same command goes on")?;
        report.print();
        Ok(report.status())
    })
}

/// Whether two paths lead to the same place.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
