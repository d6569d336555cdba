//! A repository as we let git see it.
//!
//! Nearly every setting of git can name a program: filters, diff drivers, hooks, the file system monitor, pagers,
//! helpers for credentials, commands for remotes. All of them can stand in the configuration of a repository,
//! which belongs to whoever works in it; and they can be switched off one by one only by who knows them all. So
//! git never reads that configuration. It is shown a common folder (`GIT_COMMON_DIR`) of our own making, with
//! symlinks to objects and references and a configuration that holds no more than what is needed to read them
//! right: formats, line ends, modes. Attributes in the tree can still name filters and drivers, but nothing says
//! what those names mean. The user's and the system's configuration are not read either, as programs of agents
//! can write the former; only where it names a list of ignored files, that list counts.
//!
//! The working tree is the folder that holds `.git`, whatever `core.worktree` says. As repository and working tree
//! are named, git does not ask whose they are, so a repository of another user can be read.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::find::Tree;
use super::program::{Failure, Git, parts};
use tools::folder::Folder;
use tools::hands;
use tools::open::{self, Symlink};

const LONGEST_CONFIG: u64 = 1024 * 1024;

/// Where a repository keeps its working trees.
const WORKTREES: &str = "worktrees";

/// What a repository may say about itself.
const BELIEVED: [&str; 14] = [
    "core.repositoryformatversion",
    "core.filemode",
    "core.ignorecase",
    "core.symlinks",
    "core.precomposeunicode",
    "core.trustctime",
    "core.checkstat",
    "core.autocrlf",
    "core.eol",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "extensions.objectformat",
    "extensions.refstorage",
    "i18n.commitencoding",
];

const SHARED: [&str; 7] = ["objects", "refs", "packed-refs", "reftable", "info", "shallow", "logs"];

pub(crate) struct View {
    pub(super) top: PathBuf,
    pub(super) git_dir: PathBuf,
    /// Where the objects are.
    pub(super) objects: PathBuf,
    /// The address of `origin`, as it is written.
    pub(super) origin: Option<String>,
    /// Our common folder; removed with this.
    folder: PathBuf,
}

impl View {
    /// # Errors
    /// A configuration that git cannot read; no room for the common folder.
    pub(super) async fn of(tree: Tree) -> Result<Self, Failure> {
        let (settings, ignored) = tokio::join!(settings(&tree), ignored_files());
        let settings = settings?;
        let folder = std::env::temp_dir().join(format!("manyhands-git-{}", Uuid::new_v4().simple()));
        let view = Self {
            objects: tree.common.join("objects"),
            origin: value_of(&settings, "remote.origin.url"),
            top: tree.top,
            git_dir: tree.git_dir,
            folder,
        };
        view.lay_out(&tree.common, &config(&settings, ignored.as_deref()))?;
        Ok(view)
    }

    fn lay_out(&self, common: &Path, config: &str) -> io::Result<()> {
        let file = self.folder.join("config");
        fs::create_dir(&self.folder)?;
        fs::write(&file, config)?;
        // Whoever git runs as may read them, whatever the worker's mask says.
        fs::set_permissions(&self.folder, Permissions::from_mode(0o755))?;
        fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        for name in SHARED {
            let shared = common.join(name);
            if shared.exists() {
                symlink(shared, self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Has git see the working trees of the repository.
    pub(super) fn with_worktrees(&self) -> io::Result<()> {
        match symlink(self.worktrees(), self.folder.join(WORKTREES)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    }

    /// The same, and make new ones. The repository says where it is: others' folders are left as they are.
    pub(super) fn with_new_worktrees(&self) -> io::Result<()> {
        if !self.worktrees().is_dir() {
            let common = Folder::of_user(self.common())?;
            match common.fresh(WORKTREES.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?.give()?,
            }
        }
        self.with_worktrees()
    }

    /// The link of a new working tree leads to this view, which will be gone.
    pub(super) fn put_link_right(&self, root: &Path) -> io::Result<()> {
        // Whoever works there may put a link to another folder in the place of this one.
        let folder = Folder::open(root)?;
        let link = folder.path().join(".git");
        let linked = linked(&link)?;
        let place = self.worktrees().join(linked.file_name().ok_or(io::ErrorKind::InvalidData)?);
        // The same of a file: written beside and renamed.
        let unfinished = folder.path().join(format!(".git-{}", Uuid::new_v4().simple()));
        let mut file = open::fresh(&unfinished, 0o644)?;
        file.write_all(format!("gitdir: {}\n", place.display()).as_bytes())?;
        hands::give(&file)?;
        fs::rename(&unfinished, link)
    }

    fn worktrees(&self) -> PathBuf {
        self.common().join(WORKTREES)
    }

    /// What all working trees of the repository share.
    pub(super) fn common(&self) -> &Path {
        self.objects.parent().unwrap_or(&self.objects)
    }

    /// Git on this view, in a folder of the working tree.
    pub(super) fn git(&self, folder: &Path) -> Git {
        Git::reading(folder)
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_WORK_TREE", &self.top)
            .env("GIT_COMMON_DIR", &self.folder)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = trees::remove(&self.folder);
    }
}

/// Where the link of a working tree leads.
fn linked(link: &Path) -> io::Result<PathBuf> {
    let text = open::content(link, Symlink::Refuse, LONGEST_CONFIG)?;
    let text = String::from_utf8_lossy(&text);
    let place = text.strip_prefix("gitdir: ").ok_or(io::ErrorKind::InvalidData)?;
    Ok(PathBuf::from(place.trim_end_matches('\n')))
}

type Settings = Vec<(String, String)>;

/// What stands in the configuration of the repository, without the files that it includes.
async fn settings(tree: &Tree) -> Result<Settings, Failure> {
    let mut text = content(&tree.common.join("config")).map_err(Failure::Unreadable)?;
    let list = |text: Vec<u8>| {
        let list = ["config", "--file", "-", "--no-includes", "--null", "--list"];
        Git::reading(Path::new("/")).args(list).input(text).output()
    };
    let listed = pairs(&list(text.clone()).await?);
    if value_of(&listed, "extensions.worktreeconfig").is_none_or(|value| value == "false") {
        return Ok(listed);
    }
    text.push(b'\n');
    text.extend(content(&tree.git_dir.join("config.worktree")).map_err(Failure::Unreadable)?);
    Ok(pairs(&list(text).await?))
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    match open::content(path, Symlink::Follow, LONGEST_CONFIG) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// The list of files that the user never wants to see; the usual place of it needs no setting.
async fn ignored_files() -> Option<String> {
    let ask = ["config", "--global", "--type=path", "--get", "core.excludesFile"];
    Git::as_user(Path::new("/")).args(ask).line().await.ok().flatten()
}

fn pairs(output: &[u8]) -> Settings {
    let pair = |text: String| match text.split_once('\n') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        // A name alone is true.
        None => (text, "true".to_owned()),
    };
    parts(output).into_iter().map(pair).collect()
}

/// The last counts.
fn value_of(settings: &Settings, name: &str) -> Option<String> {
    settings.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.clone())
}

fn config(settings: &Settings, ignored: Option<&str>) -> String {
    let mut text = String::new();
    let believed = BELIEVED.iter().filter_map(|name| Some((*name, value_of(settings, name)?)));
    let ignored = ignored.map(|path| ("core.excludesfile", path.to_owned()));
    for (name, value) in believed.chain(ignored) {
        let Some((section, key)) = name.split_once('.') else { continue };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(text, "[{section}]\n\t{key} = \"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_believed_is_copied() {
        let settings = pairs(
            b"core.filemode\nfalse\0core.sshcommand\nevil\0filter.x.clean\nevil\0core.eol\nlf\"\n[a]\0core.symlinks\0",
        );
        let config = config(&settings, None);
        assert_eq!(
            config,
            "[core]\n\tfilemode = \"false\"\n[core]\n\tsymlinks = \"true\"\n[core]\n\teol = \"lf\\\"\\n[a]\"\n"
        );
    }
}
