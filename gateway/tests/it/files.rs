//! Files up and down, archives, git.

use crate::harness::events::agent_message;
use crate::harness::{Server, eventually, start_with_files, status_and_json, until};
use bytes::Bytes;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use serde_json::{Value, json};

const MIB: usize = 1024 * 1024;

async fn upload(server: &Server, path: &str, content: impl Into<reqwest::Body>) -> (u16, Value) {
    let form = Form::new().text("note", "x").part("file", Part::stream(content).file_name("f"));
    let request = server.request(Method::POST, &format!("/api/file/upload?path={path}"));
    status_and_json(request.multipart(form).send().await.unwrap()).await
}

async fn download(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = server.request(Method::GET, &format!("/api/file/download?path={path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn what_goes_up_comes_down() {
    let server = start_with_files().await;
    let large: Vec<u8> = (0..5 * MIB + 7).map(|i| (i % 251) as u8).collect();
    for (name, content) in [("empty", vec![]), ("small", b"\0\x01\r\n--x".to_vec()), ("large", large)] {
        let path = server.path(&format!("deep/er/{name}"));
        let answer = upload(&server, &path, content.clone()).await;
        assert_eq!(answer, (200, json!({"success": true, "file_size": content.len()})), "{name}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
        let response = download(&server, &path, &[]).await;
        let disposition = format!("attachment; filename=\"{name}\"");
        assert_eq!(response.headers()["content-disposition"], disposition.as_str());
        assert_eq!(response.headers()["content-length"], content.len().to_string().as_str());
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        assert_eq!(response.bytes().await.unwrap(), content);
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = start_with_files().await;
    let path = server.path("folder/broken");
    let pieces = stream::iter([Ok(Bytes::from(vec![0; 3 * MIB])), Err(std::io::Error::other("gone"))]);
    let form = Form::new().part("file", Part::stream(reqwest::Body::wrap_stream(pieces)).file_name("f"));
    let request = server.request(Method::POST, &format!("/api/file/upload?path={path}"));
    assert!(request.multipart(form).send().await.is_err());
    let folder = server.folder().join("folder");
    eventually("an empty folder", async || {
        std::fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_none()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_upload_needs_a_file_and_an_absolute_path() {
    let server = start_with_files().await;
    let path = server.path("x");
    let without =
        server.request(Method::POST, &format!("/api/file/upload?path={path}")).send().await.unwrap();
    let expected = json!({"detail": [{"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": null}]});
    assert_eq!(status_and_json(without).await, (422, expected));
    let (status, body) = upload(&server, "relative", "x").await;
    assert_eq!((status, body), (400, json!({"detail": "Path must be absolute"})));
}

#[tokio::test]
async fn ranges_of_a_file_are_sent() {
    let server = start_with_files().await;
    let path = server.path("f");
    let content: Vec<u8> = (0..3 * MIB).map(|i| (i / 1000 % 256) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1048575-1048577", MIB - 1..MIB + 2),
        ("bytes=5-2500000", 5..2_500_001),
        ("bytes=-7", 3 * MIB - 7..3 * MIB),
        ("bytes=3000000-", 3_000_000..3 * MIB),
    ] {
        let response = download(&server, &path, &[("range", range)]).await;
        assert_eq!(response.status(), 206, "{range}");
        let said = format!("bytes {}-{}/{}", expected.start, expected.end - 1, content.len());
        assert_eq!(response.headers()["content-range"], said.as_str());
        assert_eq!(response.bytes().await.unwrap(), content[expected], "{range}");
    }
    let outside = download(&server, &path, &[("range", "bytes=3145728-")]).await;
    assert_eq!(outside.status(), 416);
    assert_eq!(outside.headers()["content-range"], "bytes */3145728");
    assert_eq!(outside.bytes().await.unwrap(), "");
    assert_eq!(download(&server, &path, &[("range", "lines=1-2")]).await.status(), 400);
    assert_eq!(download(&server, &path, &[("range", "bytes=0-1,4-5")]).await.status(), 200);
}

#[tokio::test]
async fn a_file_the_client_has_is_not_sent_again() {
    let server = start_with_files().await;
    let path = server.path("f");
    std::fs::write(&path, "one").unwrap();
    let first = download(&server, &path, &[]).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let modified = first.headers()["last-modified"].to_str().unwrap().to_owned();
    let again = download(&server, &path, &[("if-none-match", &format!("\"other\", W/{etag}"))]).await;
    assert_eq!((again.status().as_u16(), &again.headers()["etag"]), (304, &first.headers()["etag"]));
    assert_eq!(download(&server, &path, &[("if-modified-since", &modified)]).await.status(), 304);
    assert_eq!(download(&server, &path, &[("if-none-match", "\"other\"")]).await.status(), 200);
    let part = [("range", "bytes=0-0"), ("if-range", etag.as_str())];
    assert_eq!(download(&server, &path, &part).await.status(), 206);
    std::fs::write(&path, "another").unwrap();
    assert_eq!(download(&server, &path, &part).await.status(), 200);
    assert_eq!(download(&server, &path, &[("if-none-match", &etag)]).await.text().await.unwrap(), "another");
}

#[tokio::test]
async fn files_of_unknown_size_are_read_to_their_end() {
    let server = start_with_files().await;
    let text = download(&server, "/proc/meminfo", &[]).await.text().await.unwrap();
    assert!(text.contains("MemTotal"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_downloaded_says_why() {
    let server = start_with_files().await;
    let folder = server.path("");
    for (path, status, detail) in [
        ("relative", 400, "Path must be absolute"),
        ("/no/such/file", 404, "File not found"),
        (folder.as_str(), 400, "Path is not a file"),
    ] {
        let answer = status_and_json(download(&server, path, &[]).await).await;
        assert_eq!(answer, (status, json!({"detail": detail})), "{path}");
    }
}

#[tokio::test]
async fn a_conversations_files_are_those_of_its_workspace() {
    let server = start_with_files().await;
    let id = server.conversation("w").await;
    std::fs::write(server.path("w/in"), "in").unwrap();
    std::fs::write(server.path("out"), "out").unwrap();
    let get = async |name: &str| {
        let path = format!("/api/conversations/{id}/file/download?path={}", server.path(name));
        status_and_json(server.fetch(&path).await).await
    };
    assert_eq!(get("w/in").await, (200, json!("in")));
    assert_eq!(get("out").await.0, 422);
    for global in ["home", "search_subdirs?path=/"] {
        assert_eq!(server.fetch(&format!("/api/conversations/{id}/file/{global}")).await.status(), 404);
    }
    assert_eq!(server.fetch("/api/file/search_subdirs?path=/&limit=7").await.status(), 200);
}

#[tokio::test]
async fn a_worker_says_nothing_in_headers_but_what_it_archived() {
    let server = start_with_files().await;
    for (format, kind) in [("tar.gz", "application/gzip"), ("git-delta", "text/x-patch; charset=utf-8")] {
        let response =
            server.fetch(&format!("/api/file/archive?path={}&format={format}", server.path("w"))).await;
        let headers = response.headers();
        assert_eq!(headers["content-type"], kind);
        assert_eq!(headers["content-disposition"], "attachment; filename=\"w.patch\"");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("sandbox"), "{headers:?}");
        assert_eq!(headers["content-length"], "0");
        assert!(headers["x-archive-long"].len() <= 1024);
        for name in ["content-encoding", "transfer-encoding", "set-cookie", "access-control-allow-origin"] {
            assert!(!headers.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn an_archive_is_sent_and_removed() {
    let server = start_with_files().await;
    let path = server.path("w");
    let url = format!(
        "/api/file/archive?path={path}&format=tar.gz&exclude=*.o&exclude=tmp%2F&use_default_excludes=False"
    );
    let response = server.fetch(&url).await;
    assert_eq!(response.headers()["content-type"], "application/gzip");
    assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"w.patch\"");
    assert_eq!(response.headers()["x-archive-branch"], "%C3%A4%20b");
    assert_eq!(response.text().await.unwrap(), "*.o tmp/");
    let made = server.folder().join("w.archive");
    eventually("the temporary file is gone", async || (!made.exists()).then_some(())).await;
    assert_eq!(server.fetch(&format!("/api/file/archive?path={path}&format=rar")).await.status(), 422);
}

#[tokio::test]
async fn an_archive_that_nobody_waits_for_is_ended() {
    let server = start_with_files().await;
    let made = server.folder().join("w.archive");
    let url = format!("/api/file/archive?path={}&format=tar.gz&exclude=slow", server.path("w"));
    let waiting = tokio::spawn(server.request(Method::GET, &url).send());
    eventually("it is made", async || made.exists().then_some(())).await;
    waiting.abort();
    eventually("it is ended", async || (!made.exists()).then_some(())).await;
}

#[tokio::test]
async fn git_routes_pass_on_what_they_are_asked() {
    let server = start_with_files().await;
    let (status, changes) = server.get("/api/git/changes?path=/w&ref=main").await;
    assert_eq!((status, changes), (200, json!([{"status": "ADDED", "path": "/w main"}])));
    let (status, body) = server.get("/api/git/diff?path=/w&ref=main&commit=abcd").await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn a_trajectory_has_all_that_can_be_read_and_says_what_cannot() {
    let server = start_with_files().await;
    let id = server.conversation("w").await;
    let log = types::LogId::conversation(&types::SandboxId::shared(), id);
    let event = |n: u64| {
        let event =
            json!({"id": format!("e{n}"), "kind": "MessageEvent", "timestamp": "2026-11-23T00:00:00"});
        Bytes::from(types::log::LogRecord::event(n, &event).unwrap().encode().unwrap())
    };
    let records = vec![event(0), Bytes::from_static(b"{torn"), event(1)];
    let seqs = server.ports.log.append(&log, types::Seq::ZERO, records).await.unwrap().seqs;
    let response = server.fetch(&format!("/api/file/download-trajectory/{id}")).await;
    let archive = response.bytes().await.unwrap();
    let has = |text: &str| archive.windows(text.len()).any(|window| window == text.as_bytes());
    for name in ["events/event-00000-e0.json", "events/event-00001-e1.json", "unreadable.txt"] {
        assert!(has(name), "{name}");
    }
    assert!(has(&format!("missing here:\n{}\n", seqs[1].0)));
}

#[tokio::test]
async fn a_trajectory_is_a_readable_archive_without_secrets() {
    let server = start_with_files().await;
    let id = server.conversation("w").await;
    let log = types::LogId::conversation(&types::SandboxId::shared(), id);
    let event = |n: u64| {
        let event =
            json!({"id": format!("e/{n}"), "kind": "MessageEvent", "timestamp": "2026-11-23T00:00:00"});
        Bytes::from(types::log::LogRecord::event(n, &event).unwrap().encode().unwrap())
    };
    server.ports.log.append(&log, types::Seq::ZERO, (0..3).map(event).collect()).await.unwrap();
    let response = server.fetch(&format!("/api/file/download-trajectory/{id}")).await;
    let disposition = format!("attachment; filename=\"{}.zip\"", id.hex());
    assert_eq!(response.headers()["content-disposition"], disposition.as_str());
    let file = server.path("t.zip");
    std::fs::write(&file, response.bytes().await.unwrap()).unwrap();
    let script = "import sys, zipfile, json\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n\
                  print(json.dumps({n: json.loads(z.read(n)) for n in z.namelist()}))";
    let output = std::process::Command::new("python3").args(["-c", script, &file]).output().unwrap();
    let files: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let file = |name: &str| &files[format!("{}/{name}", id.hex())];
    assert_eq!(file("events/event-00002-e2.json")["id"], "e/2");
    assert_eq!(files.as_object().unwrap().len(), 5);
    assert_eq!(file("meta.json")["id"], id.hex());
    assert_eq!(file("base_state.json")["agent"]["llm"]["api_key"], "**********");
    assert_eq!(file("base_state.json")["execution_status"], "idle");
    assert!(!files.to_string().contains("sealed-"), "{files}");
    for (other, status) in [("00000000-0000-0000-0000-000000000009", 404), ("x", 422)] {
        assert_eq!(server.fetch(&format!("/api/file/download-trajectory/{other}")).await.status(), status);
    }
    let elsewhere = server.conversation("w2").await;
    let path = format!("/api/conversations/{elsewhere}/file/download-trajectory/{id}");
    assert_eq!(server.fetch(&path).await.status(), 422);
}

/// Defect B19 of the peer, whose downloads share a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_download_a_trajectory_each_gets_all_of_it() {
    const EVENTS: usize = 300;
    let server = start_with_files().await;
    let id = server.create().await;
    let events = (0..EVENTS).map(|_| agent_message(&"x".repeat(3_000))).collect();
    server.worker.append_events(id.parse().unwrap(), events, 100).await;
    let count = format!("/api/conversations/{id}/events/count");
    until(async || server.get(&count).await.1 == EVENTS).await;
    let path = format!("/api/file/download-trajectory/{id}");
    let download = |number: usize| {
        let (request, file) = (server.request(Method::GET, &path), server.path(&format!("{number}.zip")));
        async move {
            let mut response = request.send().await.unwrap();
            // Some hang up in the middle, which takes nothing from the others.
            if number.is_multiple_of(3) {
                return drop(response.chunk().await.unwrap());
            }
            std::fs::write(file, response.bytes().await.unwrap()).unwrap();
        }
    };
    futures_util::future::join_all((0..24).map(download)).await;
    let script = "import sys, zipfile\nfor name in sys.argv[1:]:\n z = zipfile.ZipFile(name)\n \
                  assert z.testzip() is None\n print(len(z.namelist()))";
    let files = (0..24).filter(|number| number % 3 != 0).map(|number| server.path(&format!("{number}.zip")));
    let output = std::process::Command::new("python3").args(["-c", script]).args(files).output().unwrap();
    let counted = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        counted,
        format!("{}\n", EVENTS + 2).repeat(16),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
