//! Serves the calls the gateway makes, with real files and commands and none of a worker's care.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ports::Ports;
use ports::rpc::{Address, Call, Code, Fault, Limits, Server};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::bash::{BashCommand, BashEvent, BashOutput};
use types::calls::{BashCall, BashStopped, FileCall, FileStamp, FileStat, GitAnswer, GitCall, Scope};
use types::git::{GitChange, GitChangeStatus};
use types::service::OfWorker;
use types::{LogId, SandboxId, time};

/// Archives that were made and not ended, by their tickets.
static ARCHIVES: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

type Answer = Result<(Value, Bytes), Fault>;

/// Characters of one output.
const CHUNK: usize = 1024 * 1024;

const LIMITS: Limits = Limits::new(1_000, 64 << 20);

pub async fn start(ports: &Ports) {
    let server = Server::new(ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
    let for_bash = ports.clone();
    let handler = move |call: Call<BashCall>| bash(for_bash.clone(), call.body);
    server.serve(&address(), None, LIMITS, handler).await.unwrap();
    let uploads = Arc::new(Mutex::new(HashMap::new()));
    let handler = move |call: Call<FileCall>| {
        let uploads = uploads.clone();
        async move {
            let is_slow = matches!(&call.body, FileCall::Archive { exclude, .. } if exclude.contains(&"slow".to_owned()));
            let answer = file(&uploads, call);
            if is_slow {
                std::future::pending::<()>().await;
            }
            answer
        }
    };
    server.serve(&address(), None, LIMITS, handler).await.unwrap();
    server.serve(&address(), None, LIMITS, async |call: Call<GitCall>| git(call.body)).await.unwrap();
}

fn address<S: OfWorker>() -> Address<S> {
    Address::of_worker(&SandboxId::shared(), None)
}

fn ok(value: impl serde::Serialize) -> Answer {
    Ok((serde_json::to_value(value).unwrap(), Bytes::new()))
}

fn id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

async fn bash(ports: Ports, call: BashCall) -> Answer {
    match call {
        BashCall::Start { scope, request } => {
            let log = LogId::bash(&SandboxId::shared(), scope.bash());
            let (command, cwd, timeout) = (request.command, request.cwd, request.timeout);
            let command = BashCommand { command, cwd, timeout, id: id(), timestamp: time::utc_now() };
            let seq = append(&ports, &log, BashEvent::BashCommand(command.clone())).await;
            tokio::spawn(run(ports, log, command.clone()));
            ok(json!({"command": command, "seq": seq}))
        }
        BashCall::Stop { command_id, .. } if command_id.starts_with('0') => {
            Err(Fault::new(Code::NotFound, "Command not found"))
        }
        BashCall::Stop { .. } => ok(BashStopped { ended: true }),
        BashCall::Clear { scope } => {
            let log = LogId::bash(&SandboxId::shared(), scope.bash());
            let events = ports.log.read_all(&log, types::Seq::ZERO).await.unwrap();
            let tail = events.last().map_or(types::Seq::ZERO, |last| last.seq);
            let fence = Bytes::from_static(br#"{"control":{"type":"fence","epoch":1}}"#);
            let fence = ports.log.append(&log, tail, vec![fence]).await.unwrap().tail();
            ports.log.truncate_before(&log, fence).await.unwrap();
            if events.iter().any(|event| event.payload.windows(9).any(|text| text == b"meanwhile")) {
                let (id, timestamp, command) = (id(), time::utc_now(), "came meanwhile".to_owned());
                let command = BashCommand { command, cwd: None, timeout: 1, id, timestamp };
                append(&ports, &log, BashEvent::BashCommand(command)).await;
                // So that whoever listens has it by the time of the answer.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            ok(json!({"cleared_count": events.len()}))
        }
    }
}

/// Appends after whatever is there.
async fn append(ports: &Ports, log: &LogId, event: BashEvent) -> types::Seq {
    let record = Bytes::from(serde_json::to_vec(&event).unwrap());
    loop {
        let tail = ports.log.tail(log).await.unwrap();
        if let Ok(done) = ports.log.append(log, tail, vec![record.clone()]).await {
            return done.tail();
        }
    }
}

async fn run(ports: Ports, log: LogId, command: BashCommand) {
    let output =
        tokio::process::Command::new("/bin/sh").args(["-c", &command.command]).output().await.unwrap();
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned());
    let mut chunks: Vec<&[u8]> = output.stdout.chunks(CHUNK).collect();
    let rest = chunks.pop().unwrap_or_default();
    let event = |order, stdout, stderr, exit_code| {
        let command_id = command.id.clone();
        let output =
            BashOutput { id: id(), timestamp: time::utc_now(), command_id, order, exit_code, stdout, stderr };
        BashEvent::BashOutput(output)
    };
    let mut order = 0;
    for chunk in chunks {
        append(&ports, &log, event(order, text(chunk), None, None)).await;
        order += 1;
    }
    append(&ports, &log, event(order, text(rest), text(&output.stderr), output.status.code())).await;
}

fn file(uploads: &Mutex<HashMap<String, PathBuf>>, call: Call<FileCall>) -> Answer {
    let target = |upload: &str| uploads.lock().unwrap().get(upload).cloned();
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
            uploads.lock().unwrap().insert(upload.clone(), path);
            ok(json!({"upload": upload}))
        }
        FileCall::Write { upload, offset } => {
            let Some(path) = target(&upload) else {
                return Err(Fault::new(Code::NotFound, "Upload not found"));
            };
            let file = std::fs::File::options().write(true).open(part(&path)).unwrap();
            file.write_all_at(&call.blob, offset).unwrap();
            ok(())
        }
        FileCall::Commit { upload } => {
            let path = uploads.lock().unwrap().remove(&upload).unwrap();
            let size = std::fs::metadata(part(&path)).unwrap().len();
            std::fs::rename(part(&path), path).unwrap();
            ok(json!({"size": size}))
        }
        FileCall::Abort { upload } => {
            if let Some(path) = uploads.lock().unwrap().remove(&upload) {
                std::fs::remove_file(part(&path)).unwrap();
            }
            ok(())
        }
        FileCall::MakeDirectory { scope, path } => {
            std::fs::create_dir_all(inside(&scope, &path)?).unwrap();
            ok(())
        }
        FileCall::Home { .. } => ok(json!({"home": "/home", "favorites": [], "locations": []})),
        FileCall::Subdirectories { limit, .. } => ok(json!({"items": [], "next_page_id": limit.to_string()})),
        FileCall::Archive { ticket, path, exclude, .. } => {
            let archive = Path::new(&path).with_extension("archive");
            ARCHIVES.lock().unwrap().insert(ticket, archive.clone());
            std::fs::write(&archive, exclude.join(" ")).unwrap();
            ok(json!({"path": archive, "name": "w.patch", "media_type": "text/html", "headers": {
                "X-Archive-Branch": "ä b", "x-archive-long": "l".repeat(1 << 20),
                "Content-Type": "text/html", "Content-Disposition": "inline", "Content-Encoding": "gzip",
                "Transfer-Encoding": "chunked", "Content-Length": "1", "Set-Cookie": "a=b",
                "X-Content-Type-Options": "none", "Content-Security-Policy": "", "Access-Control-Allow-Origin": "*"}}))
        }
        FileCall::EndArchive { ticket } => {
            let archive = ARCHIVES.lock().unwrap().remove(&ticket).unwrap();
            let _ = std::fs::remove_file(archive);
            ok(())
        }
    }
}

fn inside(scope: &Scope, path: &str) -> Result<PathBuf, Fault> {
    if !path.starts_with('/') {
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
        return Err(Fault::new(Code::NotFound, "File not found"));
    };
    let mtime = found.mtime() * 1_000_000_000 + found.mtime_nsec();
    Ok(FileStat {
        stamp: FileStamp { inode: found.ino(), size: found.len(), mtime },
        is_dir: found.is_dir(),
        path: path.display().to_string(),
        sized: !path.starts_with("/proc"),
    })
}

fn git(call: GitCall) -> Answer {
    match call {
        GitCall::Changes { path, reference, .. } => {
            let path = format!("{path} {}", reference.unwrap_or_default());
            ok(GitAnswer::Changes(vec![GitChange { status: GitChangeStatus::Added, path }]))
        }
        _ => Err(Fault::internal("secret text about the inside")),
    }
}
