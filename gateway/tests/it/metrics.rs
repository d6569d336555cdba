//! What `/metrics` tells, and whom.

use crate::harness::tokens::{bearer, token};
use crate::harness::{KEY, start, start_keyed, start_with};
use reqwest::Method;

#[tokio::test]
async fn requests_are_counted_by_the_template_of_their_route() {
    let server = start().await;
    for name in ["one", "two"] {
        server.fetch(&format!("/api/conversations/{name}/file/download?path=/secret-{name}")).await;
        server.fetch(&format!("/nowhere/{name}")).await;
    }
    server.request(Method::from_bytes(b"BREW").unwrap(), "/alive").send().await.unwrap();
    let shown = server.fetch("/metrics").await;
    let media_type = shown.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(media_type.starts_with("application/openmetrics-text; version=1.0.0"), "{media_type}");
    let text = shown.text().await.unwrap();
    let counted = |method: &str, route: &str, status: &str| {
        let labels = format!(r#"{{method="{method}",route="{route}",status="{status}"}}"#);
        let line =
            text.lines().find(|line| line.starts_with(&format!("manyhands_http_requests_total{labels}")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let download = "/api/conversations/{runtime_conversation_id}/file/download";
    assert_eq!(counted("GET", download, "4xx"), Some(2), "{text}");
    assert_eq!(counted("GET", "none", "4xx"), Some(2), "{text}");
    assert_eq!(counted("other", "none", "4xx"), Some(1), "{text}");
    for private in ["/one", "/two", "secret-", "BREW"] {
        assert!(!text.contains(private), "{private}: {text}");
    }
}

#[tokio::test]
async fn metrics_are_behind_the_session_key() {
    let server = start_keyed().await;
    assert_eq!(server.fetch("/metrics").await.status(), 401);
    let with_key = server.request(Method::GET, "/metrics").header("x-session-api-key", KEY);
    assert_eq!(with_key.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn metrics_are_shown_to_no_token_of_a_tenant_but_to_one_with_the_right_to_administer() {
    let server = start_with(|config| {
        config.site.bearer = Some(bearer());
        config.site.root_path = "/below".to_owned();
    })
    .await;
    for (tenant, scope, expected) in [
        ("default", "read", 403),
        ("default", "read write", 403),
        ("another", "read write", 403),
        ("default", "admin", 200),
        ("another", "read admin", 200),
    ] {
        for path in ["/metrics", "/below/metrics"] {
            let request = server.request(Method::GET, path).bearer_auth(token(tenant, scope));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), expected, "{path} for {scope} of {tenant}");
            let text = answer.text().await.unwrap();
            assert_eq!(text.contains("manyhands_http_requests"), expected == 200, "{path}: {text}");
        }
    }
}
