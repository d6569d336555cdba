//! Files that come in pieces: into a temporary file beside the target, which then takes its place.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use ports::rpc::{Code, Fault};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use tools::hands;
use types::calls::{Scope, UPLOAD_IDLE, UploadBegun, UploadDone};
use uuid::Uuid;

use super::super::fault::{bad_request, not_found, of_file};
use super::super::place::{FolderEntry, Missing};
use tools::open::{self, Opened};

const MOST: usize = 500;
/// Leaves room for what the temporary name adds, within the 255 bytes of a name.
const LONGEST_KEPT_NAME: usize = 200;

#[derive(Default)]
pub(super) struct Uploads {
    running: Mutex<HashMap<String, Arc<Upload>>>,
}

struct Upload {
    file: File,
    place: FolderEntry,
    /// `None`: the target itself is written, as nothing may be made beside it.
    temporary: Option<OsString>,
    touched: Mutex<Instant>,
}

impl Uploads {
    pub(super) fn begin(&self, scope: &Scope, path: &str) -> Result<UploadBegun, Fault> {
        let place =
            if path.ends_with('/') { None } else { FolderEntry::of(scope, Path::new(path), Missing::Make)? };
        let place = place.ok_or_else(|| bad_request("Path is a directory"))?;
        let upload = Upload::new(place)?;
        let id = Uuid::new_v4().simple().to_string();
        let mut running = self.running.lock();
        if running.len() >= MOST {
            drop(running);
            upload.discard();
            return Err(Fault::new(Code::Busy, "Too many uploads are running"));
        }
        running.insert(id.clone(), Arc::new(upload));
        Ok(UploadBegun { upload: id })
    }

    pub(super) fn write(&self, id: &str, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let upload = self.running.lock().get(id).cloned().ok_or_else(unknown)?;
        upload.file.write_all_at(bytes, offset).map_err(failed)?;
        *upload.touched.lock() = Instant::now();
        Ok(())
    }

    pub(super) fn commit(&self, id: &str) -> Result<UploadDone, Fault> {
        let upload = self.running.lock().remove(id).ok_or_else(unknown)?;
        let done = upload.take_its_place();
        if done.is_err() {
            upload.discard();
        }
        done
    }

    /// An upload that is not there any more is no error.
    pub(super) fn abort(&self, id: &str) -> Result<(), Fault> {
        let upload = self.running.lock().remove(id);
        if let Some(upload) = upload {
            upload.discard();
        }
        Ok(())
    }

    pub(super) fn drop_abandoned(&self, all: bool) {
        let abandoned: Vec<_> =
            self.running.lock().extract_if(|_, upload| all || upload.is_abandoned()).collect();
        for (_, upload) in abandoned {
            upload.discard();
        }
    }
}

impl Upload {
    fn new(place: FolderEntry) -> Result<Self, Fault> {
        let target = match statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Some(only_file(found)?),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(failed(error.into())),
        };
        let name = temporary_name(&place.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&place.folder, &name, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => {
                match &target {
                    Some(target) => look_like(&file, target),
                    None => hands::give(&file).map_err(failed)?,
                }
                Ok(Self::over(file.into(), place, Some(name)))
            }
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) if target.is_some() => {
                let opened = open::to_replace(&place.folder, Path::new(&place.name));
                match opened.map_err(|error| failed(error.into()))? {
                    Opened::File(file) => Ok(Self::over(file, place, None)),
                    Opened::Folder | Opened::Other => Err(bad_request("Path is not a file")),
                }
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    fn over(file: File, place: FolderEntry, temporary: Option<OsString>) -> Self {
        Self { file, place, temporary, touched: Mutex::new(Instant::now()) }
    }

    fn take_its_place(&self) -> Result<UploadDone, Fault> {
        let size = self.file.metadata().map_err(failed)?.len();
        if let Some(temporary) = &self.temporary {
            let FolderEntry { folder, name, .. } = &self.place;
            renameat(folder, temporary, folder, name).map_err(|error| failed(error.into()))?;
        }
        Ok(UploadDone { size })
    }

    fn discard(&self) {
        let Some(temporary) = &self.temporary else { return };
        if let Err(error) = unlinkat(&self.place.folder, temporary, AtFlags::empty()) {
            tracing::debug!(path = %self.place.path.display(), %error, "cannot remove a temporary file");
        }
    }

    fn is_abandoned(&self) -> bool {
        self.touched.lock().elapsed() > UPLOAD_IDLE
    }
}

fn only_file(found: Stat) -> Result<Stat, Fault> {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(found),
        FileType::Directory => Err(bad_request("Path is a directory")),
        _ => Err(bad_request("Path is not a file")),
    }
}

/// Owner and mode of the file that is replaced, as far as this is allowed.
fn look_like(file: &impl std::os::fd::AsFd, target: &Stat) {
    let _ = fchown(file, Some(Uid::from_raw(target.st_uid)), Some(Gid::from_raw(target.st_gid)));
    let _ = fchmod(file, Mode::from_raw_mode(target.st_mode & 0o7777));
}

fn temporary_name(name: &OsStr) -> OsString {
    let name = name.to_string_lossy();
    let kept = name.get(..name.floor_char_boundary(LONGEST_KEPT_NAME)).unwrap_or_default();
    format!(".{kept}.{}.part", Uuid::new_v4().simple()).into()
}

fn unknown() -> Fault {
    not_found("Upload not found")
}

fn failed(error: io::Error) -> Fault {
    of_file(&error, "File not found")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_upload_of_which_nothing_is_heard_is_given_up_and_one_that_only_comes_slowly_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::default();
        let begin = |name: &str| {
            let path = folder.path().join(name);
            uploads.begin(&Scope::default(), path.to_str().unwrap()).unwrap().upload
        };
        let (slow, silent) = (begin("slow"), begin("silent"));
        for upload in uploads.running.lock().values() {
            *upload.touched.lock() -= UPLOAD_IDLE + Duration::from_secs(1);
        }
        uploads.write(&slow, 0, b"").unwrap();
        uploads.drop_abandoned(false);
        assert!(uploads.commit(&silent).is_err());
        assert_eq!(uploads.commit(&slow).unwrap().size, 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
