//! What every answer has: CORS headers, the forms of errors, redirects.

use crate::harness::{KEY, app, eventually, start, start_keyed, start_with, status_and_json};
use axum::Router;
use axum::body::Body;
use http::Request;
use manyhands_gateway::edge::Edge;
use reqwest::{Method, Response};
use serde_json::{Value, json};

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_tells_an_allowed_page_that_it_may_read_it() {
    let server = start_keyed().await;
    for (path, status) in [
        ("/health", 200),
        ("/api/tools/", 401),
        ("/api/nothing", 404),
        ("/api/init", 404),
        ("/api/tools", 307),
    ] {
        for (origin, allowed) in [
            ("http://localhost:3000", true),
            ("https://127.0.0.1:9", true),
            ("https://app.example", true),
            ("https://evil.example", false),
            ("http://[::1]:3000", false),
        ] {
            let response = server.request(Method::GET, path).header("origin", origin).send().await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(
                header(&response, "access-control-allow-origin"),
                allowed.then_some(origin),
                "{path} {origin}"
            );
            assert_eq!(header(&response, "access-control-allow-credentials"), Some("true"));
            assert_eq!(header(&response, "vary"), Some("Origin"));
            assert_eq!(header(&response, "access-control-expose-headers").is_some(), allowed);
        }
        let response = server.fetch(path).await;
        assert_eq!(header(&response, "access-control-allow-credentials"), None);
        assert_eq!(header(&response, "vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn preflights_are_answered_without_a_key() {
    let server = start_keyed().await;
    for (path, origin, allowed) in [
        ("/api/conversations", "http://localhost:3000", true),
        ("/api/conversations", "https://evil.example", false),
        ("/api/auth/workspace-session", "https://evil.example", true),
        ("/api/auth/workspace-session", "null", false),
    ] {
        let request = server.request(Method::OPTIONS, path).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "x-session-api-key,content-type");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), if allowed { 200 } else { 400 }, "{path} {origin}");
        assert_eq!(header(&response, "access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(header(&response, "access-control-allow-headers"), Some("x-session-api-key,content-type"));
        assert_eq!(header(&response, "access-control-max-age"), Some("600"));
        assert_eq!(
            header(&response, "access-control-allow-methods"),
            Some("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY")
        );
        assert!(header(&response, "vary").unwrap().contains("Access-Control-Request-Headers"));
        assert_eq!(response.text().await.unwrap(), if allowed { "OK" } else { "Disallowed CORS origin" });
    }
    let plain = server.request(Method::OPTIONS, "/health").send().await.unwrap();
    assert_eq!(plain.status(), 405);
}

#[tokio::test]
async fn other_methods_are_named_in_allow() {
    let server = start().await;
    for (method, path, allow) in [
        (Method::POST, "/health", "GET"),
        (Method::HEAD, "/health", "GET"),
        (Method::GET, "/api/bash/bash_events", "DELETE"),
        (Method::HEAD, "/api/file/download", "GET"),
    ] {
        let response = server.request(method.clone(), path).send().await.unwrap();
        assert_eq!(response.status(), 405, "{method} {path}");
        assert_eq!(header(&response, "allow"), Some(allow), "{method} {path}");
        if method != Method::HEAD {
            assert_eq!(response.json::<Value>().await.unwrap(), json!({"detail": "Method Not Allowed"}));
        }
    }
    assert_eq!(server.request(Method::HEAD, "/nothing").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_wrong_trailing_slash_is_redirected() {
    let server = start_keyed().await;
    for (path, target) in [
        ("/api/tools", "/api/tools/"),
        ("/health/", "/health"),
        ("/api/bash/bash_events/search/?limit=1", "/api/bash/bash_events/search?limit=1"),
    ] {
        let response = server.fetch(path).await;
        assert_eq!(response.status(), 307, "{path}");
        assert_eq!(
            header(&response, "location"),
            Some(format!("http://{}{target}", server.address).as_str())
        );
        assert_eq!(response.text().await.unwrap(), "");
    }
    for path in ["/nothing/", "/api/", "//nothing", "/api/tools/catalog//"] {
        assert_eq!(server.fetch(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn routes_are_also_found_below_the_configured_prefix() {
    let server = start_with(|config| config.site.root_path = "/pre/fix".to_owned()).await;
    assert_eq!(server.fetch("/pre/fix/health").await.status(), 200);
    assert_eq!(server.fetch("/health").await.status(), 200);
    assert_eq!(server.fetch("/pre/fixhealth").await.status(), 404);
    let redirect = server.fetch("/pre/fix/api/tools").await;
    assert!(header(&redirect, "location").unwrap().ends_with("/pre/fix/api/tools/"));
}

#[tokio::test]
async fn validation_says_what_is_wrong_and_never_what_was_sent() {
    let server = start_keyed().await;
    let start = "/api/bash/start_bash_command";
    let post = async |kind: &'static str, body: &'static str| {
        let request = server.request(Method::POST, start).header("x-session-api-key", KEY);
        status_and_json(request.header("content-type", kind).body(body).send().await.unwrap()).await
    };
    for (body, kind, loc) in [
        (r#"{"command": ["hunter2"]}"#, "string_type", json!(["body", "command"])),
        (r#"{"command": "x", "timeout": "hunter2"}"#, "int_parsing", json!(["body", "timeout"])),
        (r#"{"api_key": "hunter2"}"#, "missing", json!(["body", "command"])),
        (r#""hunter2, expected hunter2""#, "model_attributes_type", json!(["body"])),
        (r#"{hunter2"#, "json_invalid", json!(["body", 1])),
        ("", "missing", json!(["body"])),
    ] {
        let (status, answer) = post("application/json", body).await;
        assert_eq!(status, 422, "{body}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
        assert_eq!(
            (&answer["detail"][0]["type"], &answer["detail"][0]["loc"]),
            (&json!(kind), &loc),
            "{body}"
        );
    }
    assert_eq!(post("text/plain", "{}").await.0, 415);
    let get = async |path: &str| {
        status_and_json(
            server.request(Method::GET, path).header("x-session-api-key", KEY).send().await.unwrap(),
        )
        .await
    };
    for (path, kind, loc) in [
        ("/api/file/download", "missing", json!(["query", "path"])),
        ("/api/bash/bash_events/search?limit=hunter2", "int_parsing", json!(["query", "limit"])),
        ("/api/bash/bash_events/search?limit=0", "greater_than", json!(["query", "limit"])),
        ("/api/bash/bash_events/search?limit=101", "less_than_equal", json!(["query", "limit"])),
        ("/api/bash/bash_events/search?kind__eq=hunter2", "literal_error", json!(["query", "kind__eq"])),
        (
            "/api/bash/bash_events/search?command_id__eq=hunter2",
            "uuid_parsing",
            json!(["query", "command_id__eq"]),
        ),
        (
            "/api/bash/bash_events/search?timestamp__lt=hunter2",
            "datetime_parsing",
            json!(["query", "timestamp__lt"]),
        ),
        ("/api/file/home?include_hidden=hunter2", "bool_parsing", json!(["query", "include_hidden"])),
        ("/api/git/diff?path=/x&commit=hunter2", "string_pattern_mismatch", json!(["query", "commit"])),
        (
            "/api/conversations/hunter2/git/changes?path=/x",
            "uuid_parsing",
            json!(["path", "runtime_conversation_id"]),
        ),
    ] {
        let (status, answer) = get(path).await;
        assert_eq!(status, 422, "{path}: {answer}");
        assert_eq!(
            (&answer["detail"][0]["type"], &answer["detail"][0]["loc"]),
            (&json!(kind), &loc),
            "{path}"
        );
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
}

#[tokio::test]
async fn a_panic_becomes_an_answer_that_tells_nothing_but_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let (app, _store) = app(folder.path()).await;
    let router =
        Router::new().route("/", axum::routing::get(async || -> &'static str { panic!("the inside") }));
    let request = Request::get("/").header("origin", "http://localhost").body(Body::empty()).unwrap();
    let response = Edge::around(&app, router).serve(request).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost");
    let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(body["detail"], "Internal Server Error");
    let id = body["error_id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(body.as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn what_the_worker_says_about_its_inside_stays_inside() {
    let server = start().await;
    let (status, body) = server.get("/api/git/commits?path=/x").await;
    assert_eq!(status, 500);
    assert!(!body.to_string().contains("secret text"), "{body}");
}

#[tokio::test]
async fn oversized_requests_are_refused() {
    let server = start_with(|config| config.limits.json_bytes = 1000).await;
    let large = json!({"command": "x".repeat(1001)});
    assert_eq!(server.post("/api/bash/start_bash_command", &large).await.0, 413);
    let long =
        server.request(Method::GET, "/health").header("x-long", "x".repeat(70_000)).send().await.unwrap();
    assert_eq!(long.status(), 431);
}

#[tokio::test]
async fn probes_and_server_info_have_their_fields() {
    let server = start().await;
    assert_eq!(server.get("/health").await, (200, json!({"status": "ok"})));
    assert_eq!(server.get("/alive").await, (200, json!({"status": "ok"})));
    assert_eq!(server.get("/ready").await, (200, json!({"status": "ready"})));
    let (_, info) = server.get("/server_info").await;
    assert_eq!(info["version"], "1.58.2");
    assert_eq!(info["usable_tools"], json!(["terminal", "file_editor", "task_tracker"]));
    assert!(info["uptime"].is_f64() && info["idle_time"].is_f64(), "{info}");
    assert_eq!(server.get("/api/tools/").await, (200, info["usable_tools"].clone()));
    assert_eq!(server.get("/api/tools/catalog").await.1["tools"][0]["in_default_set"], true);
}

#[tokio::test]
async fn use_ends_idleness() {
    let server = start().await;
    let idle = async || server.get("/server_info").await.1["idle_time"].as_f64().unwrap();
    eventually("a second without use", async || (idle().await >= 1.0).then_some(())).await;
    server.fetch("/api/file/download?path=/nothing").await;
    assert!(idle().await < 1.0);
}

#[tokio::test]
async fn what_the_document_says_of_names_and_of_refusals_is_what_is_answered() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    for path in [
        "/api/profiles/{name}",
        "/api/agent-profiles/{name}",
        "/api/meta-profiles/{name}",
        "/api/skills/installed/{skill_name}",
        "/api/plugins/installed/{plugin_name}",
        "/api/canvas-extensions/installed/{extension_name}",
    ] {
        let parameter = &document["paths"][path]["get"]["parameters"][0];
        let (status, refusal) = server.get(&path.replace(['{', '}'], "~")).await;
        let problem = &refusal["detail"][0];
        assert_eq!((status, &problem["loc"]), (422, &json!(["path", parameter["name"]])), "{path}");
        assert_eq!(parameter["schema"]["pattern"], problem["ctx"]["pattern"], "{path}");
    }
    let problem = &document["components"]["schemas"]["Error"]["properties"]["detail"]["anyOf"][1]["items"];
    let step = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
    assert_eq!(problem["properties"]["loc"]["items"], step);
    let count = &document["paths"]["/api/conversations/count"]["get"]["responses"]["200"]["content"];
    assert!(count["application/json"].is_object(), "{count}");
}

#[tokio::test]
async fn the_document_lists_every_route_once_and_the_page_needs_nobody_else() {
    let server = start().await;
    let (status, document) = server.get("/openapi.json").await;
    assert_eq!(status, 200);
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/server_info",
        "/api/tools/",
        "/api/bash/execute_bash_command",
        "/api/conversations/{runtime_conversation_id}/bash/execute_bash_command",
        "/api/file/upload",
        "/api/file/download-trajectory/{conversation_id}",
        "/api/conversations/{runtime_conversation_id}/git/commits/{sha}/changes",
        "/api/conversations/{conversation_id}/workspace",
        "/api/conversations/{conversation_id}/workspace/{file_path}",
        "/api/auth/workspace-session",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let scoped = &paths["/api/conversations/{runtime_conversation_id}/git/commits/{sha}/changes"]["get"];
    let parameters = scoped["parameters"].as_array().unwrap();
    let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
    let mut in_path: Vec<_> = in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
    in_path.sort_unstable();
    assert_eq!(in_path, ["runtime_conversation_id", "sha"]);
    let mut names: Vec<&str> = Vec::new();
    for item in paths.values() {
        names.extend(
            item.as_object().unwrap().values().filter_map(|operation| operation["operationId"].as_str()),
        );
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.contains(&"search_bash_events_api_bash_bash_events_search_get"), "{names:?}");

    for path in ["/docs", "/redoc"] {
        let page = server.fetch(path).await;
        assert!(header(&page, "content-type").unwrap().starts_with("text/html"));
        assert!(header(&page, "content-security-policy").unwrap().contains("default-src 'none'"));
        let text = page.text().await.unwrap();
        assert!(!text.contains("//cdn") && !text.contains("http:") && !text.contains("https:"), "{path}");
        assert!(text.contains("openapi.json"));
    }
}
