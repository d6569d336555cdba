//! What was fetched and waits to be taken: by its ticket, for some minutes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use ports::rpc::{Fault, Reason};
use sha2::{Digest, Sha256};
use tar::{Builder, HeaderMode};
use tools::extensions::folder;
use tools::extensions::plugin;
use tools::extensions::skill::{self, Names};
use tools::extensions::source::{Source, not};
use tools::open::{self, Opened, Symlink};
use types::calls::{FetchCall, Fetched, NotFetched, WhyNotFetched};
use types::extensions::{Contents, ExtensionKind, is_name};
use types::hex;
use uuid::Uuid;

use super::super::fault::not_found;
use super::carry::Packed;
use super::checkout::Checkouts;
use super::copying::{self, Bounds, Failure};
use super::{ExtensionConfig, Stop};

/// What a canvas extension says of itself.
const MANIFEST: &str = "canvas-extension.json";

const MOST_STAGES: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);
const MOST_PACKED: u64 = 16 << 20;
const PIECE: u64 = 512 * 1024;

pub(super) struct Stages {
    scratch: PathBuf,
    /// Plugins by their commits.
    pinned: PathBuf,
    config: ExtensionConfig,
    checkouts: Checkouts,
    all: Mutex<HashMap<String, Stage>>,
}

#[derive(Clone)]
struct Stage {
    kind: ExtensionKind,
    name: String,
    /// The copy; what packs it is beside it.
    folder: PathBuf,
    since: Instant,
}

impl Stage {
    fn pack(&self) -> PathBuf {
        self.folder.with_file_name("..pack")
    }

    /// The folder that everything of it is in.
    fn whole(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

impl Stages {
    pub(super) fn new(
        scratch: PathBuf,
        pinned: PathBuf,
        config: ExtensionConfig,
        checkouts: Checkouts,
    ) -> Self {
        // Of a worker that was killed.
        let _ = trees::remove(&scratch);
        Self { scratch, pinned, config, checkouts, all: Mutex::default() }
    }

    pub(super) async fn fetch(&self, call: FetchCall, patience: Duration) -> Result<Fetched, Stop> {
        self.make_room()?;
        let source = Source::parse(&call.source)?;
        let (fetched, checkout) = match &source {
            Source::Folder(_) => (source.folder()?, None),
            Source::Repository { url, reference, .. } => {
                let reference = call.reference.as_deref().or(reference.as_deref());
                let checkout = self.checkouts.make(url, reference, patience).await?;
                (checkout.folder.clone(), Some(checkout))
            }
        };
        let folder = source.below(fetched.clone(), call.repo_path.as_deref())?;
        let is_whole_repository = checkout.is_some() && folder == fetched;
        let name = match is_whole_repository {
            true => call.name.clone().unwrap_or_else(|| source.name()),
            false => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let resolved_ref = checkout.as_ref().map(|checkout| checkout.commit.clone());
        let ticket = Uuid::new_v4().simple().to_string();
        let stage = self.scratch.join(&ticket).join(name);
        let staged = self.staged(&call, &folder, stage, resolved_ref, &ticket);
        if staged.is_err() {
            let _ = trees::remove(&self.scratch.join(&ticket));
        }
        staged
    }

    fn staged(
        &self,
        call: &FetchCall,
        from: &Path,
        folder: PathBuf,
        resolved_ref: Option<String>,
        ticket: &str,
    ) -> Result<Fetched, Stop> {
        has_manifest(call.kind, from)?;
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(Fault::internal)?;
        }
        copying::copy(from, &folder, &Bounds::OF_AN_EXTENSION).map_err(stop)?;
        let read = read(call.kind, &folder)?;
        let stage = Stage { kind: call.kind, name: read.name.clone(), folder, since: Instant::now() };
        pack(&stage.folder, &stage.pack())?;
        let install_path = self.installed(call.kind).join(&read.name);
        let contents = placed_at(read.contents, &install_path);
        self.all.lock().insert(ticket.to_owned(), stage);
        Ok(Fetched {
            ticket: ticket.to_owned(),
            name: read.name,
            version: read.version,
            description: read.description,
            resolved_ref,
            install_path: install_path.to_string_lossy().into_owned(),
            contents,
        })
    }

    /// A piece, and how much all pieces have together.
    pub(super) fn read(&self, ticket: &str, file: Option<&str>, offset: u64) -> Result<(Bytes, u64), Fault> {
        let stage = self.find(ticket)?;
        let path = match file {
            None => stage.pack(),
            Some(file) if is_inside(file) => stage.folder.join(file),
            Some(_) => return Err(not_found("File not found")),
        };
        let missing = |_| not_found("File not found");
        let Opened::File(mut file) = open::path(&path, Symlink::Refuse).map_err(missing)? else {
            return Err(not_found("File not found"));
        };
        let of = file.metadata().map_err(Fault::internal)?.len();
        file.seek(SeekFrom::Start(offset)).map_err(Fault::internal)?;
        let mut piece = Vec::new();
        file.take(PIECE).read_to_end(&mut piece).map_err(Fault::internal)?;
        Ok((piece.into(), of))
    }

    /// Where there is something of this name it is replaced.
    pub(super) fn place(&self, ticket: &str) -> Result<(), Fault> {
        let stage = self.find(ticket)?;
        if !self.config.places {
            return Ok(());
        }
        let folder = self.installed(stage.kind);
        let next = folder.join(format!(".{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).map_err(Fault::internal)?;
        let placed = copying::copy(&stage.folder, &next, &Bounds::OF_AN_EXTENSION).map_err(Fault::internal);
        let placed = placed.and_then(|()| {
            let at = folder.join(&stage.name);
            let _ = trees::remove(&at);
            std::fs::rename(&next, &at).map_err(Fault::internal)
        });
        if placed.is_err() {
            let _ = trees::remove(&next);
        }
        placed
    }

    pub(super) fn remove_placed(&self, kind: ExtensionKind, name: &str) -> Result<(), Fault> {
        if !self.config.places || !is_name(name) {
            return Ok(());
        }
        match trees::remove(&self.installed(kind).join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::internal(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn drop(&self, ticket: &str) {
        let stage = self.all.lock().remove(ticket);
        if let Some(stage) = stage {
            let _ = trees::remove(stage.whole());
        }
    }

    /// A commit of a plugin, which stays for whoever was told where it is.
    pub(super) async fn pinned(
        &self,
        url: &str,
        reference: Option<&str>,
        patience: Duration,
    ) -> Result<(PathBuf, String), Stop> {
        let digest = hex(&Sha256::digest(url.as_bytes()));
        let folder = self.pinned.join(digest.get(..16).unwrap_or_default()).join("resolved-refs");
        let is_commit = |text: &&str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(commit) = reference.filter(is_commit).map(str::to_ascii_lowercase) {
            let known = folder.join(&commit);
            if known.is_dir() {
                return Ok((known, commit));
            }
        }
        let checkout = self.checkouts.make(url, reference, patience).await?;
        let at = folder.join(&checkout.commit);
        if !at.is_dir() {
            let next = folder.join(format!(".{}", Uuid::new_v4().simple()));
            std::fs::create_dir_all(&folder).map_err(Fault::internal)?;
            let kept = copying::copy(&checkout.folder, &next, &Bounds::OF_A_CATALOGUE).map_err(stop);
            // Somebody else may have been first.
            if kept.is_err() || std::fs::rename(&next, &at).is_err() {
                let _ = trees::remove(&next);
            }
            kept?;
        }
        Ok((at, checkout.commit.clone()))
    }

    fn installed(&self, kind: ExtensionKind) -> PathBuf {
        let folder = match kind {
            ExtensionKind::Skill => "skills",
            ExtensionKind::Plugin => "plugins",
            ExtensionKind::Canvas => "canvas-extensions",
        };
        self.config.home.persistence.join(folder).join("installed")
    }

    fn find(&self, ticket: &str) -> Result<Stage, Fault> {
        self.all.lock().get(ticket).cloned().ok_or_else(|| not_found("It was fetched too long ago"))
    }

    fn make_room(&self) -> Result<(), Fault> {
        let mut all = self.all.lock();
        let old: Vec<Stage> =
            all.extract_if(|_, stage| stage.since.elapsed() > KEPT_FOR).map(|(_, stage)| stage).collect();
        let is_full = all.len() >= MOST_STAGES;
        drop(all);
        old.iter().for_each(|stage| drop(trees::remove(stage.whole())));
        if is_full { Err(Reason::Overloaded.into()) } else { Ok(()) }
    }
}

/// The copy of an extension, read and packed. `installed` is the folder that it is said to be installed in.
pub(super) fn packed(kind: ExtensionKind, folder: &Path, installed: &Path) -> Result<Packed, Stop> {
    has_manifest(kind, folder)?;
    let read = read(kind, folder)?;
    let file = folder.with_file_name(format!("..{}.pack", read.name));
    pack(folder, &file)?;
    let packed = open::content(&file, Symlink::Refuse, MOST_PACKED).map_err(Fault::internal)?;
    let contents = placed_at(read.contents, &installed.join(&read.name));
    Ok(Packed {
        name: read.name,
        version: read.version,
        description: read.description,
        contents,
        pack: packed,
    })
}

/// A skill names the file that it is from.
fn placed_at(contents: Contents, install_path: &Path) -> Contents {
    match contents {
        Contents::Skill(mut skill) => {
            let file = skill.source.as_deref().and_then(|path| Path::new(path).file_name());
            skill.source = file.map(|file| install_path.join(file).to_string_lossy().into_owned());
            Contents::Skill(skill)
        }
        contents => contents,
    }
}

/// What a folder was found to be.
struct Found {
    name: String,
    version: String,
    description: String,
    contents: Contents,
}

/// Before anything is copied.
fn has_manifest(kind: ExtensionKind, folder: &Path) -> Result<(), NotFetched> {
    match kind {
        ExtensionKind::Canvas if !folder.join(MANIFEST).is_file() => {
            Err(not(WhyNotFetched::NoManifest, "There is no manifest."))
        }
        ExtensionKind::Skill if skill::of_its_folder(folder, folder, Names::Strict).is_err() => {
            Err(invalid())
        }
        ExtensionKind::Canvas | ExtensionKind::Skill | ExtensionKind::Plugin => Ok(()),
    }
}

fn read(kind: ExtensionKind, folder: &Path) -> Result<Found, NotFetched> {
    match kind {
        ExtensionKind::Skill => {
            let skill = skill::of_its_folder(folder, folder, Names::Strict).map_err(|_| invalid())?;
            Ok(Found {
                name: skill.name.clone(),
                version: "1.0.0".to_owned(),
                description: skill.description.clone().unwrap_or_default(),
                contents: Contents::Skill(skill),
            })
        }
        ExtensionKind::Plugin => {
            let plugin = plugin::load(folder).map_err(|_| invalid())?.described();
            Ok(Found {
                name: plugin.name,
                version: plugin.version,
                description: plugin.description,
                contents: Contents::Plugin { skills: plugin.skills, files: plugin.files },
            })
        }
        ExtensionKind::Canvas => {
            let manifest = folder::object(&folder.join(MANIFEST)).map_err(|_| invalid())?;
            let text = |name: &str| manifest.get(name).and_then(|value| value.as_str()).map(str::to_owned);
            Ok(Found {
                name: text("name").ok_or_else(invalid)?,
                version: text("version").unwrap_or_default(),
                description: text("description").unwrap_or_default(),
                contents: Contents::Canvas { manifest: manifest.into() },
            })
        }
    }
    .and_then(|read| if is_name(&read.name) { Ok(read) } else { Err(invalid()) })
}

fn invalid() -> NotFetched {
    not(WhyNotFetched::Invalid, "It does not fit.")
}

fn is_inside(file: &str) -> bool {
    !file.is_empty()
        && Path::new(file).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn pack(folder: &Path, file: &Path) -> Result<(), Stop> {
    let write = || -> io::Result<u64> {
        let file = File::create_new(file)?;
        let packed = GzEncoder::new(BufWriter::new(file), Compression::default());
        let mut tar = Builder::new(packed);
        tar.follow_symlinks(false);
        tar.mode(HeaderMode::Deterministic);
        tar.append_dir_all(".", folder)?;
        let mut file = tar.into_inner()?.finish()?;
        file.flush()?;
        Ok(file.get_ref().metadata()?.len())
    };
    let bytes = write().map_err(Fault::internal)?;
    if bytes > MOST_PACKED { Err(too_large().into()) } else { Ok(()) }
}

fn stop(failure: Failure) -> Stop {
    match failure {
        Failure::Io(error) => Fault::internal(error).into(),
        Failure::TooMany | Failure::TooLarge => too_large().into(),
    }
}

fn too_large() -> NotFetched {
    not(
        WhyNotFetched::TooLarge,
        "An extension may have at most 2,000 files, and 64 MiB of them, which may be 16 MiB when they are packed.",
    )
}
