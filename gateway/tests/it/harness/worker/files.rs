//! Files of the machine, and what stands for an archive.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ports::rpc::{Call, Code, Fault};
use serde_json::json;
use types::calls::{FileCall, FileStamp, FileStat, Scope};

use super::{Answer, id, not_found, ok};

#[derive(Default)]
pub(super) struct Files {
    uploads: Mutex<HashMap<String, PathBuf>>,
    /// Those that were made and not ended, by their tickets.
    archives: Mutex<BTreeMap<String, PathBuf>>,
}

impl Files {
    /// An archive that leaves out `slow` is made, and the answer never comes.
    pub(super) async fn answer(&self, call: Call<FileCall>) -> Answer {
        let is_slow =
            matches!(&call.body, FileCall::Archive { exclude, .. } if exclude.contains(&"slow".to_owned()));
        let answer = self.act(call);
        if is_slow {
            std::future::pending::<()>().await;
        }
        answer
    }

    fn act(&self, call: Call<FileCall>) -> Answer {
        let target = |upload: &str| self.uploads.lock().unwrap().get(upload).cloned();
        let part = |path: &Path| path.with_extension("part");
        match call.body {
            FileCall::Stat { scope, path } => ok(stat(&scope, &path)?),
            FileCall::Read { scope, path, offset, len, stamp } => {
                if stat(&scope, &path)?.stamp != stamp {
                    return Err(Fault::new(Code::Conflict, "The file has changed"));
                }
                let mut bytes = vec![0; usize::try_from(len).unwrap()];
                let read = std::fs::File::open(&path).unwrap().read_at(&mut bytes, offset).unwrap();
                bytes.truncate(read);
                Ok((json!({"len": read}), bytes.into()))
            }
            FileCall::Begin { scope, path } => {
                let path = inside(&scope, &path)?;
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::File::create(part(&path)).unwrap();
                let upload = id();
                self.uploads.lock().unwrap().insert(upload.clone(), path);
                ok(json!({"upload": upload}))
            }
            FileCall::Write { upload, offset } => {
                let Some(path) = target(&upload) else {
                    return Err(not_found("Upload"));
                };
                let file = std::fs::File::options().write(true).open(part(&path)).unwrap();
                file.write_all_at(&call.blob, offset).unwrap();
                ok(())
            }
            FileCall::Commit { upload } => {
                let path = self.uploads.lock().unwrap().remove(&upload).unwrap();
                let size = std::fs::metadata(part(&path)).unwrap().len();
                std::fs::rename(part(&path), path).unwrap();
                ok(json!({"size": size}))
            }
            FileCall::Abort { upload } => {
                if let Some(path) = self.uploads.lock().unwrap().remove(&upload) {
                    std::fs::remove_file(part(&path)).unwrap();
                }
                ok(())
            }
            FileCall::MakeDirectory { scope, path } => {
                std::fs::create_dir_all(inside(&scope, &path)?).unwrap();
                ok(())
            }
            FileCall::Home { .. } => ok(json!({"home": "/home", "favorites": [], "locations": []})),
            FileCall::Subdirectories { limit, .. } => {
                ok(json!({"items": [], "next_page_id": limit.to_string()}))
            }
            FileCall::Archive { ticket, path, exclude, .. } => {
                let archive = Path::new(&path).with_extension("archive");
                self.archives.lock().unwrap().insert(ticket, archive.clone());
                std::fs::write(&archive, exclude.join(" ")).unwrap();
                ok(json!({"path": archive, "name": "w.patch", "media_type": "text/html", "headers": {
                    "X-Archive-Branch": "ä b", "x-archive-long": "l".repeat(1 << 20),
                    "Content-Type": "text/html", "Content-Disposition": "inline", "Content-Encoding": "gzip",
                    "Transfer-Encoding": "chunked", "Content-Length": "1", "Set-Cookie": "a=b",
                    "X-Content-Type-Options": "none", "Content-Security-Policy": "", "Access-Control-Allow-Origin": "*"}}))
            }
            FileCall::EndArchive { ticket } => {
                let archive = self.archives.lock().unwrap().remove(&ticket).unwrap();
                let _ = std::fs::remove_file(archive);
                ok(())
            }
        }
    }
}

fn inside(scope: &Scope, path: &str) -> Result<PathBuf, Fault> {
    if !path.starts_with('/') && scope.workspace.is_none() {
        return Err(Fault::new(Code::BadRequest, "Path must be absolute"));
    }
    let root = scope.workspace.as_ref().map_or("/", |workspace| &workspace.root);
    if !path.starts_with(root) || path.contains("/..") {
        return Err(Fault::new(Code::Invalid, "path must be inside the conversation workspace"));
    }
    Ok(path.into())
}

fn stat(scope: &Scope, path: &str) -> Result<FileStat, Fault> {
    let path = inside(scope, path)?;
    let Ok(found) = std::fs::metadata(&path) else {
        return Err(not_found("File"));
    };
    let mtime = found.mtime() * 1_000_000_000 + found.mtime_nsec();
    Ok(FileStat {
        stamp: FileStamp { inode: found.ino(), size: found.len(), mtime },
        is_dir: found.is_dir(),
        path: path.display().to_string(),
        sized: !path.starts_with("/proc"),
    })
}
