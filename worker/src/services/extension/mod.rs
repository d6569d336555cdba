//! Skills, plugins and the like: found in the folders of a project and of a home, and fetched to be installed.
//!
//! ```text
//!   look:    folders ─▶ tools::extensions ─▶ the answer. Nothing is kept, nothing is run
//!   fetch:   a folder or a repository ─▶ checkout (removed afterwards) ─▶ copy ─▶ stage: read, packed
//!                                                                                  │ for ten minutes, by its ticket
//!            read ◀── pieces of the pack, or of one file of it ◀───────────────────┤
//!            place ◀── where programs find it ◀─────────────────────────────────────┘
//!   public:  a clone that is kept, and looked at again after five minutes
//! ```
//!
//! What is fetched has been made by strangers. It is copied from open folder to open folder, without links and special files,
//! within bounds, into a folder that only this process writes; everything that follows (reading it, packing it, placing it)
//! is done with the copy. So nothing can lead out of it, and nothing can change between being looked at and being packed.
//!
//! Git runs without settings and without keys of its own, as whoever commands run as, and for a limited time. What it says may
//! hold credentials of the address, and is neither passed on nor logged.
//!
//! The truth about what is installed is in the store, not here: a worker may be gone at any moment, with all that it has
//! placed. Where commands run as another user than the worker nothing is placed: a folder of that user could lead the worker
//! elsewhere.

pub mod carry;
mod checkout;
mod copying;
mod public;
mod stage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use outbound::Outbound;
use ports::rpc::Fault;
use tools::extensions::Unfit;
use tools::extensions::marketplace::{Catalogue, DEFAULT, Entry, Source as EntrySource};
use tools::extensions::project::{self, Home};
use tools::extensions::skill::{self, Names, Search};
use tools::extensions::source::Source;
use tools::extensions::{plugin, sub_agent};
use types::calls::{
    CheckCall, Checked, ExtensionAnswer, ExtensionCall, FetchCall, Marketplace, NotFetched, SkillSources,
    SkillsFound, WhyNotFetched,
};
use types::extensions::Skill;

use super::git::{Repository, parts};
use checkout::{Checkout, Checkouts};
use public::{Public, Reading};
use stage::Stages;

/// What a repository of an organization may take.
const ORGANIZATION: Duration = Duration::from_secs(120);
const MARKETPLACE: Duration = Duration::from_secs(60);

/// What is fetched to be installed.
const INSTALL: Duration = Duration::from_secs(60);

/// The public catalogue.
pub const CATALOGUE: &str = "https://github.com/OpenHands/extensions";

/// Bytes of all skills of an answer; the rest is left out.
const MOST_BYTES: usize = 6 << 20;
const MOST_SKILLS: usize = 1_000;

/// Where extensions are looked for, and kept.
#[derive(Clone, Debug)]
pub struct ExtensionConfig {
    pub home: Home,
    pub public: PublicSource,
    /// Whether what is installed is put into the home, too.
    pub places: bool,
}

/// Where the public catalogue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicSource {
    Folder(PathBuf),
    Repository { url: String, reference: String },
}

impl ExtensionConfig {
    /// In a user's home, with the catalogue of OpenHands.
    #[must_use]
    pub fn in_home(folder: PathBuf) -> Self {
        Self {
            home: Home { persistence: folder.join(".openhands"), folder },
            public: PublicSource::Repository { url: CATALOGUE.to_owned(), reference: "main".to_owned() },
            places: false,
        }
    }
}

impl Default for ExtensionConfig {
    /// In the home of whoever runs this. What programs inherit has been chosen by then.
    fn default() -> Self {
        let home = child_environment::inherited().find(|(name, _)| name == "HOME");
        Self::in_home(home.map_or_else(|| "/".into(), |(_, home)| home.into()))
    }
}

pub(super) struct Service {
    config: ExtensionConfig,
    /// What relative paths of projects are taken for.
    project_dir: PathBuf,
    checkouts: Checkouts,
    public: Public,
    stages: Stages,
}

impl Service {
    pub(super) fn new(
        config: ExtensionConfig,
        project_dir: PathBuf,
        scratch: &Path,
        outbound: Outbound,
    ) -> Self {
        let cache = match config.places {
            true => config.home.persistence.join("cache"),
            false => std::env::temp_dir().join(format!("manyhands-cache-{}", uuid::Uuid::new_v4().simple())),
        };
        let checkouts = Checkouts::new(outbound);
        Self {
            public: Public::new(config.public.clone(), cache.join("skills"), checkouts.clone()),
            stages: Stages::new(
                scratch.join("extensions"),
                cache.join("plugins"),
                config.clone(),
                checkouts.clone(),
            ),
            checkouts,
            project_dir,
            config,
        }
    }

    /// Looks at files without regard for others: on a thread that serves nobody else (`aside`).
    pub(super) async fn answer(&self, call: ExtensionCall) -> Result<(ExtensionAnswer, Bytes), Fault> {
        let mut blob = Bytes::new();
        let answer = match call {
            ExtensionCall::Skills(sources) => ExtensionAnswer::Skills(self.skills(sources).await),
            ExtensionCall::Plugins { project_dir, user } => {
                let mut found =
                    project_dir.map(|dir| project::plugins(&self.project(&dir))).unwrap_or_default();
                if user {
                    let known: Vec<String> = found.iter().map(|plugin| plugin.name.clone()).collect();
                    let more = project::plugins_of_home(&self.config.home);
                    let more = more.into_iter().filter(|plugin| !known.contains(&plugin.name));
                    found = more.chain(found).collect();
                }
                ExtensionAnswer::Plugins(found)
            }
            ExtensionCall::Hooks { project_dir } => {
                ExtensionAnswer::Hooks(project::hooks(&self.project(&project_dir)))
            }
            ExtensionCall::SubAgents { project_dir, user } => {
                let mut found =
                    project_dir.map(|dir| sub_agent::of_project(&self.project(&dir))).unwrap_or_default();
                if user {
                    found.extend(sub_agent::of_home(&self.config.home));
                }
                ExtensionAnswer::SubAgents(found)
            }
            ExtensionCall::Catalogue {} => {
                let reading = self.public.folder().await;
                let catalogue = reading.as_ref().and_then(|folder| Catalogue::load_public(folder).ok());
                ExtensionAnswer::Catalogue(catalogue.map(|catalogue| catalogue.offered()).unwrap_or_default())
            }
            ExtensionCall::Sync {} => ExtensionAnswer::Synced(self.public.sync().await),
            ExtensionCall::Fetch(call) => self.fetch(call).await?,
            ExtensionCall::Check(call) => self.check(call).await?,
            ExtensionCall::Read { ticket, file, offset } => {
                let (piece, of) = self.stages.read(&ticket, file.as_deref(), offset)?;
                blob = piece;
                ExtensionAnswer::Piece { of }
            }
            ExtensionCall::Place { ticket } => {
                self.stages.place(&ticket)?;
                ExtensionAnswer::Done
            }
            ExtensionCall::Drop { ticket } => {
                self.stages.drop(&ticket);
                ExtensionAnswer::Done
            }
            ExtensionCall::Remove { kind, name } => {
                self.stages.remove_placed(kind, &name)?;
                ExtensionAnswer::Done
            }
        };
        Ok((answer, blob))
    }

    async fn fetch(&self, call: FetchCall) -> Result<ExtensionAnswer, Fault> {
        let _reading = self.steady(&call.source).await;
        answered(self.stages.fetch(call, INSTALL).await, |fetched| {
            ExtensionAnswer::Fetched(Box::new(fetched))
        })
    }

    /// For who reads in a folder that a client names: what the public catalogue offers is in one.
    async fn steady(&self, source: &str) -> Option<Reading> {
        match Source::parse(source) {
            Ok(Source::Folder(_)) => self.public.kept().await,
            _ => None,
        }
    }

    async fn check(&self, call: CheckCall) -> Result<ExtensionAnswer, Fault> {
        answered(self.checked(call).await, |checked| ExtensionAnswer::Checked(Box::new(checked)))
    }

    async fn checked(&self, call: CheckCall) -> Result<Checked, Stop> {
        let _reading = self.steady(&call.source).await;
        let patience = Duration::from_secs(call.timeout_seconds);
        let unfit =
            |says: &str| NotFetched { why: WhyNotFetched::Invalid, says: format!("Invalid plugin: {says}") };
        let source = Source::parse(&call.source).map_err(|_| invalid_source())?;
        let (folder, resolved_ref) = match &source {
            Source::Folder(_) => (source.folder().map_err(|_| unfit("plugin.json not found."))?, None),
            Source::Repository { url, reference, .. } => {
                let reference = call.reference.as_deref().or(reference.as_deref());
                let (folder, commit) = self.stages.pinned(url, reference, patience).await?;
                (folder, Some(commit))
            }
        };
        let folder = source.below(folder, call.repo_path.as_deref())?;
        let manifest = plugin::raw_manifest(&folder).map_err(|_| unfit("plugin.json not found."))?;
        let loaded = plugin::load(&folder).map_err(|_| unfit("its plugin.json does not fit."))?;
        let prefix = format!("{}:", loaded.name);
        let command = |skill: &Skill| skill.name.strip_prefix(&prefix).unwrap_or(&skill.name).to_owned();
        Ok(Checked {
            path: folder.to_string_lossy().into_owned(),
            resolved_ref,
            manifest: manifest.into(),
            skills: loaded.skills.iter().map(|skill| skill.name.clone()).collect(),
            commands: loaded.commands.iter().map(command).collect(),
        })
    }

    async fn skills(&self, sources: SkillSources) -> SkillsFound {
        let mut found = SkillsFound::default();
        // All at once: each may wait for a repository.
        let marketplaces = join_all(sources.marketplaces.iter().map(|one| self.of_marketplace(one)));
        let organizations = join_all(sources.organizations.iter().map(|url| self.of_organization(url)));
        let (marketplaces, organizations) = tokio::join!(marketplaces, organizations);
        found.marketplaces = marketplaces.into_iter().flatten().collect();
        for skill in organizations.into_iter().flatten() {
            skill::put(&mut found.organizations, skill);
        }
        if sources.public {
            let folder = match sources.only_kept {
                true => self.public.kept().await,
                false => self.public.folder().await,
            };
            found.public = folder
                .map(|folder| public_skills(&folder, sources.marketplace_path.as_deref()))
                .unwrap_or_default();
        }
        if sources.user {
            found.user = project::skills_of_home(&self.config.home);
        }
        if let Some(dir) = sources.project_dir.filter(|dir| !dir.is_empty()) {
            let project = self.project(&dir);
            let tracked = tracked(&project).await;
            found.project = project::skills(&project, tracked.as_deref());
        }
        bounded(found)
    }

    async fn of_organization(&self, url: &str) -> Vec<Skill> {
        let checkout = match self.checkouts.make(url, None, ORGANIZATION).await {
            Ok(checkout) => checkout,
            Err(_) => {
                tracing::debug!("the skills of an organization cannot be fetched");
                return Vec::new();
            }
        };
        let mut skills = all_in(&checkout.folder, "skills");
        skill::add_new(&mut skills, all_in(&checkout.folder, "microagents"));
        skills
    }

    /// Single skills first: a plugin's skill wins.
    async fn of_marketplace(&self, marketplace: &Marketplace) -> Vec<Skill> {
        let Marketplace { name, source, reference, repo_path, only } = marketplace;
        let Some((folder, held)) =
            self.source_folder(source, reference.as_deref(), repo_path.as_deref()).await
        else {
            tracing::warn!(name, "a marketplace cannot be fetched");
            return Vec::new();
        };
        let catalogue = Catalogue::load(&folder).unwrap_or_else(|_| Catalogue::of_skills_in(&folder));
        let is_wanted = |entry: &&Entry| only.as_ref().is_none_or(|only| only.contains(&entry.name));
        let mut found = Vec::new();
        for entry in catalogue.skills.iter().filter(is_wanted) {
            let path = catalogue.folder_of(entry);
            let skill = path.and_then(|path| skill::of_its_folder(&path, &folder, Names::Any).ok());
            match skill {
                Some(skill) => found.push(skill),
                None => tracing::warn!(name, skill = entry.name, "a skill of a marketplace is left out"),
            }
        }
        let here = |entry| (entry, catalogue.folder_of(entry).and_then(|path| plugin::load(&path).ok()));
        let plugins: Vec<_> = catalogue.plugins.iter().filter(is_wanted).map(here).collect();
        // Others are fetched now: nobody has to wait for them who has a newer copy of this one.
        drop(held);
        for (entry, loaded) in plugins {
            let loaded = match loaded {
                None => self.plugin_elsewhere(entry).await,
                loaded => loaded,
            };
            match loaded {
                Some(loaded) => found.extend(loaded.skills.into_iter().chain(loaded.commands)),
                None => tracing::warn!(name, plugin = entry.name, "a plugin of a marketplace is left out"),
            }
        }
        found
    }

    /// Of a repository that a catalogue names. Folders of this machine, but for its own, are not for it to name.
    async fn plugin_elsewhere(&self, entry: &Entry) -> Option<plugin::Loaded> {
        let (source, reference, path) = match &entry.source {
            EntrySource::Repository { source, reference, path } => {
                (source, reference.as_deref(), path.as_deref())
            }
            EntrySource::Text(text) => (text, None, None),
        };
        if !Source::parse(source).is_ok_and(|source| source.is_remote()) {
            return None;
        }
        let (folder, _held) = self.source_folder(source, reference, path).await?;
        plugin::load(&folder).ok()
    }

    /// With what keeps it there.
    async fn source_folder(
        &self,
        source: &str,
        reference: Option<&str>,
        path: Option<&str>,
    ) -> Option<(PathBuf, Held)> {
        let reading = self.steady(source).await;
        let source = Source::parse(source).ok()?;
        match &source {
            Source::Folder(_) => Some((source.below(source.folder().ok()?, path).ok()?, (None, reading))),
            Source::Repository { url, reference: own, .. } => {
                let checkout =
                    self.checkouts.make(url, reference.or(own.as_deref()), MARKETPLACE).await.ok()?;
                Some((source.below(checkout.folder.clone(), path).ok()?, (Some(checkout), None)))
            }
        }
    }

    /// A relative path is one of the folder that conversations work in, which clients know by its last names alone.
    fn project(&self, dir: &str) -> PathBuf {
        let dir = Path::new(dir);
        if self.project_dir.ends_with(dir) {
            return self.project_dir.clone();
        }
        std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
    }
}

/// What keeps a folder there, and as it is.
type Held = (Option<Checkout>, Option<Reading>);

/// Why something is not fetched: the client's doing, or ours.
enum Stop {
    Not(NotFetched),
    Fault(Fault),
}

impl From<NotFetched> for Stop {
    fn from(not: NotFetched) -> Self {
        Self::Not(not)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn answered<T>(
    outcome: Result<T, Stop>,
    answer: impl FnOnce(T) -> ExtensionAnswer,
) -> Result<ExtensionAnswer, Fault> {
    match outcome {
        Ok(value) => Ok(answer(value)),
        Err(Stop::Not(not)) => Ok(ExtensionAnswer::NotFetched(not)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

fn invalid_source() -> NotFetched {
    NotFetched { why: WhyNotFetched::InvalidSource, says: "Invalid plugin source.".to_owned() }
}

/// Of a copy of the public catalogue.
fn public_skills(folder: &Path, marketplace_path: Option<&str>) -> Vec<Skill> {
    let all = || all_in(folder, "skills");
    let Some(file) = marketplace_path else { return all() };
    match Catalogue::load_file(folder, file) {
        Ok(catalogue) => catalogue.public_skills(),
        // One that leads elsewhere is there: it names less than all.
        Err(why) if file == DEFAULT && !matches!(why, Unfit::Outside) => all(),
        Err(why) => {
            tracing::warn!(%why, "the catalogue of public skills cannot be read");
            Vec::new()
        }
    }
}

/// Those in a folder of what others have made, and nothing that this leads to elsewhere.
fn all_in(root: &Path, folder: &str) -> Vec<Skill> {
    let search = Search { names: Names::Strict, deep: true, except: None, within: Some(root) };
    skill::of_folder(&root.join(folder), &search)
}

/// The files of a project that its repository knows or would take; `None` where it is in none.
async fn tracked(project: &Path) -> Option<Vec<PathBuf>> {
    let repository = Repository::of(project).await.ok()??;
    let list = repository.git(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = list.patience(Duration::from_secs(10)).output().await.ok()?;
    Some(parts(&listed).into_iter().map(PathBuf::from).collect())
}

/// Those of the first sources give way: what wins by name stays.
fn bounded(found: SkillsFound) -> SkillsFound {
    let (mut bytes, mut skills) = (0, 0);
    let mut keep = |list: Vec<Skill>| {
        let before = list.len();
        let mut fits = |skill: &Skill| {
            bytes += skill.content.len() + skill.description.as_ref().map_or(0, String::len) + 512;
            skills += 1;
            bytes <= MOST_BYTES && skills <= MOST_SKILLS
        };
        let kept: Vec<Skill> = list.into_iter().filter(|skill| fits(skill)).collect();
        if kept.len() < before {
            tracing::warn!(left_out = before - kept.len(), "there are more skills than can be answered");
        }
        kept
    };
    let project = keep(found.project);
    let organizations = keep(found.organizations);
    let user = keep(found.user);
    let public = keep(found.public);
    let marketplaces = keep(found.marketplaces);
    SkillsFound { marketplaces, public, user, organizations, project }
}
