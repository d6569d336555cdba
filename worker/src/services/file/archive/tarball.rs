//! A folder as a compressed tar file, with a list of what is in it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::excludes::Excludes;

const MANIFEST: &str = "archive_manifest.json";

/// Symlinks and special files are left out; what vanishes meanwhile, too.
pub(super) fn write(folder: &Path, excludes: &Excludes, file: File) -> io::Result<()> {
    let packed = GzEncoder::new(BufWriter::with_capacity(256 * 1024, file), Compression::fast());
    let mut tarball = Tarball { tar: Builder::new(packed), folder, excludes, files: 0, bytes: 0 };
    tarball.folder(Path::new(""))?;
    tarball.manifest()?;
    tarball.tar.into_inner()?.finish()?.flush()
}

struct Tarball<'a, W: Write> {
    tar: Builder<W>,
    folder: &'a Path,
    excludes: &'a Excludes,
    files: u64,
    bytes: u64,
}

impl<W: Write> Tarball<'_, W> {
    fn folder(&mut self, inside: &Path) -> io::Result<()> {
        let metadata = fs::metadata(self.folder.join(inside))?;
        let mut header = Header::new_gnu();
        header.set_metadata(&metadata);
        header.set_size(0);
        // The empty name at the end is a slash, as for any folder in a tar file.
        self.tar.append_data(&mut header, self.member(inside).join(""), io::empty())?;

        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder.join(inside))? {
            let entry = entry?;
            names.push((entry.file_name(), entry.file_type()?));
        }
        names.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, kind) in names {
            let inside = inside.join(name);
            if self.excludes.has(&inside, kind.is_dir()) {
                continue;
            }
            let added = if kind.is_dir() {
                self.folder(&inside)
            } else if kind.is_file() {
                self.file(&inside)
            } else {
                Ok(())
            };
            match added {
                Err(error) if is_passed_over(&error) => {
                    tracing::debug!(path = %inside.display(), %error, "left out of an archive");
                }
                added => added?,
            }
        }
        Ok(())
    }

    /// Always of the size that it had at first, as the size stands before the content.
    fn file(&mut self, inside: &Path) -> io::Result<()> {
        let no_symlink = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = File::options().read(true).custom_flags(no_symlink).open(self.folder.join(inside))?;
        let metadata = file.metadata()?;
        let mut header = Header::new_gnu();
        header.set_metadata(&metadata);
        let content = file.chain(io::repeat(0)).take(metadata.len());
        self.tar.append_data(&mut header, self.member(inside), content)?;
        self.files += 1;
        self.bytes += metadata.len();
        Ok(())
    }

    fn manifest(&mut self) -> io::Result<()> {
        if fs::symlink_metadata(self.folder.join(MANIFEST)).is_ok() {
            return Ok(());
        }
        let manifest = json!({
            "excludes": self.excludes.texts(),
            "file_count": self.files,
            "format": "tar.gz",
            "source": self.folder.to_string_lossy(),
            "total_bytes": self.bytes,
        });
        let content = serde_json::to_vec_pretty(&manifest)?;
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, self.member(Path::new(MANIFEST)), content.as_slice())
    }

    fn member(&self, inside: &Path) -> std::path::PathBuf {
        Path::new(self.folder.file_name().unwrap_or("root".as_ref())).join(inside)
    }
}

fn is_passed_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}
