//! A user interface in a folder, shown from the server's own origin.

use std::path::Path;

use manyhands_gateway::config::Ui;
use manyhands_gateway::ticket::Ticket;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use crate::harness::{KEY, Server, start_with};

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

fn build(folder: &Path) {
    std::fs::create_dir_all(folder.join("build/assets")).unwrap();
    std::fs::write(folder.join("build/index.html"), "<html><head><title>UI</title></head></html>").unwrap();
    std::fs::write(folder.join("build/assets/a.js"), "a()").unwrap();
    std::fs::write(folder.join("secret.txt"), "not of the interface").unwrap();
    std::os::unix::fs::symlink(folder.join("secret.txt"), folder.join("build/link.txt")).unwrap();
    std::fs::create_dir_all(folder.join("build/.git")).unwrap();
    std::fs::create_dir_all(folder.join("build/.well-known")).unwrap();
    std::fs::write(folder.join("build/.env"), "not of the interface").unwrap();
    std::fs::write(folder.join("build/.git/config"), "not of the interface").unwrap();
    std::fs::write(folder.join("build/.well-known/a.json"), "{}").unwrap();
    std::os::unix::fs::symlink("../.env", folder.join("build/assets/hidden.txt")).unwrap();
}

async fn shown(folder: &Path, is_keyed: bool) -> Server {
    build(folder);
    let ui = Ui { folder: folder.join("build") };
    start_with(|config| {
        config.site.root_path = "/pre".to_owned();
        config.site.ui = Some(ui);
        if is_keyed {
            config.keys = vault::Keys::new(&[KEY.into()]);
        }
    })
    .await
}

async fn page(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> (u16, HeaderMap, String) {
    let named =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()));
    let headers: HeaderMap =
        [("accept".parse().unwrap(), HeaderValue::from_static(HTML))].into_iter().chain(named).collect();
    let answer = server.request(Method::GET, path).headers(headers).send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_shown_and_what_is_no_file_and_no_route_is_the_first_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = shown(folder.path(), true).await;
    let (status, headers, text) = page(&server, "/assets/a.js", &[]).await;
    assert_eq!(
        (status, text.as_str(), &headers["x-content-type-options"]),
        (200, "a()", &HeaderValue::from_static("nosniff"))
    );
    assert_eq!(
        (&headers["content-type"], &headers["content-length"]),
        (&"text/javascript; charset=utf-8".parse().unwrap(), &"3".parse().unwrap())
    );
    let tag = headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(page(&server, "/assets/a.js", &[("if-none-match", &tag)]).await.0, 304);
    for path in ["/", "/conversations/1", "/settings"] {
        assert!(page(&server, path, &[]).await.2.contains("<title>UI</title>"), "{path}");
    }
    for path in ["/assets/b.js", "/api/nothing", "/v1/nothing", "/sockets/nothing"] {
        assert_eq!(page(&server, path, &[]).await.0, 404, "{path}");
    }
    let slashed = page(&server, "/server_info/", &[]).await;
    assert!(
        slashed.0 == 307 || slashed.2.contains("1.58.2"),
        "a route of the API with a slash too many is still one: {}",
        slashed.2
    );
    let (_, info): (u16, serde_json::Value) = server.get("/").await;
    assert_eq!(info["version"], "1.58.2", "clients of the API are told what the server is");
}

/// Defect B20 of the peer, which leads to a page that is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_prefix_of_a_proxy_the_same_is_shown_as_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = shown(folder.path(), true).await;
    for path in ["/", "/pre/", "/conversations/1", "/pre/conversations/1", "/pre/index.html"] {
        let (status, _, text) = page(&server, path, &[]).await;
        assert!(status == 200 && text.contains("<title>UI</title>"), "{path}: {status} {text}");
    }
    for path in ["/assets/a.js", "/pre/assets/a.js"] {
        assert_eq!(page(&server, path, &[]).await.2, "a()", "{path}");
    }
    assert_eq!(page(&server, "/pre/api/nothing", &[]).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outside_of_the_folder_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = shown(folder.path(), false).await;
    for path in [
        "/link.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2F..%2Fsecret.txt",
        "/a%00.txt",
        "/%5c..%5csecret.txt",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/assets/hidden.txt",
    ] {
        let (status, _, text) = page(&server, path, &[]).await;
        assert!(status == 404 && !text.contains("not of the interface"), "{path}: {status} {text}");
    }
    assert_eq!(page(&server, "/.well-known/a.json", &[]).await.2, "{}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_for_a_key_where_there_is_one_and_is_not_given_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = shown(folder.path(), true).await;
    let (_, _, text) = page(&server, "/", &[]).await;
    assert!(
        text.contains("<head><script>") && text.contains("__AGENT_CANVAS_AUTH_REQUIRED__=true"),
        "{text}"
    );
    assert!(!text.contains(KEY), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let server = shown(folder.path(), false).await;
    let (_, _, text) = page(&server, "/", &[]).await;
    assert!(text.contains("__AGENT_CANVAS_SESSION_API_KEY__") && !text.contains("AUTH_REQUIRED"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_any_size_is_sent_a_piece_at_a_time() {
    const SIZE: u64 = 80 << 20;
    let folder = tempfile::tempdir().unwrap();
    let server = shown(folder.path(), true).await;
    std::fs::File::create(folder.path().join("build/assets/large.bin")).unwrap().set_len(SIZE).unwrap();
    let mut answer = server.fetch("/assets/large.bin").await;
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(SIZE)));
    let mut read = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        read += piece.len() as u64;
    }
    assert_eq!(read, SIZE);
}

/// What a page that was opened with a ticket is given.
async fn redeemed(
    server: &Server,
    ticket: &str,
    headers: &[(&str, &str)],
) -> (u16, serde_json::Value, HeaderMap) {
    let mut request = server.request(Method::POST, "/ticket").json(&serde_json::json!({ "ticket": ticket }));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let headers = answer.headers().clone();
    (answer.status().as_u16(), answer.json().await.unwrap(), headers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_exchanged_for_the_key_once_by_a_page_of_this_server_on_this_machine() {
    let (ticket, text) = Ticket::issue(KEY.into());
    let text = text.expose_secret();
    let server = start_with(|config| {
        config.keys = vault::Keys::new(&[KEY.into()]);
        config.site.ticket = ticket;
    })
    .await;
    let port = server.address.rsplit(':').next().unwrap();
    let own = format!("http://{}", server.address);
    let (other_host, other_origin) = (format!("evil.example:{port}"), format!("http://evil.example:{port}"));
    let other_port = "http://127.0.0.1:1";
    for (ticket, headers) in [
        (text, &[][..]),
        (text, &[("origin", other_port)]),
        (text, &[("host", other_host.as_str()), ("origin", other_origin.as_str())]),
        ("another", &[("origin", own.as_str())]),
        ("", &[("origin", own.as_str())]),
    ] {
        let (status, answer, _) = redeemed(&server, ticket, headers).await;
        assert!(
            status == 403 && !answer.to_string().contains(KEY),
            "{ticket} {headers:?}: {status} {answer}"
        );
        assert!(!answer.to_string().contains(text), "{answer}");
    }
    let (status, answer, headers) = redeemed(&server, text, &[("origin", &own)]).await;
    assert_eq!(
        (status, &answer["session_api_key"], &headers["cache-control"]),
        (200, &KEY.into(), &"no-store".parse().unwrap())
    );
    let (status, answer, _) = redeemed(&server, text, &[("origin", &own)]).await;
    assert!(status == 403 && answer["detail"].as_str().unwrap().contains("not good any more"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_ticket_nobody_is_given_the_key() {
    let server = crate::harness::start_keyed().await;
    let own = format!("http://{}", server.address);
    for ticket in ["", "null", KEY] {
        assert_eq!(redeemed(&server, ticket, &[("origin", &own)]).await.0, 403);
    }
    assert_eq!(server.fetch("/ticket").await.status(), 405);
}
