//! Repositories of a provider, to choose from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Server, start_with};

/// Three pages of a hundred repositories, `o/r0` to `o/r299`, for the token `good`.
#[derive(Clone, Default)]
struct GitHub {
    pages: Arc<Mutex<Vec<u32>>>,
    address: String,
}

impl GitHub {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let github =
            Self { address: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let app = Router::new().fallback(answer).with_state(github.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        github
    }

    fn asked(&self) -> Vec<u32> {
        std::mem::take(&mut self.pages.lock().unwrap())
    }
}

async fn answer(
    State(github): State<GitHub>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let page: u32 = query["page"].parse().unwrap();
    github.pages.lock().unwrap().push(page);
    match headers["authorization"].to_str().unwrap() {
        "Bearer good" => {}
        "Bearer broken" => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => return (StatusCode::UNAUTHORIZED, "marked words of GitHub").into_response(),
    }
    let of_page = (page - 1) * 100..page * 100;
    let repository = |n: u32| {
        json!({"id": n, "full_name": format!("O/r{n}"), "private": n == 0, "stargazers_count": n,
            "pushed_at": "2026-01-01T00:00:00Z", "default_branch": "main", "owner": {"login": "o"}})
    };
    let next = format!("<{}/user/repos?per_page=100&page={}>; rel=\"next\"", github.address, page + 1);
    let link = if page < 3 { next } else { String::new() };
    ([("link", link)], axum::Json(of_page.map(repository).collect::<Vec<_>>())).into_response()
}

async fn start(github: &GitHub) -> Server {
    let address = github.address.clone();
    start_with(|config| config.control.github_url = address.into()).await
}

async fn keep(server: &Server, name: &str, token: &str) {
    let body = json!({"name": name, "value": token});
    let (status, _) = server.send(Method::PUT, "/api/settings/secrets", Some(&body)).await;
    assert_eq!(status, 200);
}

async fn search(server: &Server, query: &str) -> (u16, Value) {
    server.get(&format!("/api/git/repositories/search?provider=github{query}")).await
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["full_name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_page_goes_on_where_it_ended() {
    let github = GitHub::start().await;
    let server = start(&github).await;
    keep(&server, "GH_TOKEN", "good").await;
    let (_, first) = search(&server, "&limit=60").await;
    assert_eq!((names(&first).len(), &first["next_page_id"]), (60, &json!("1:60")));
    let shown = json!({"id": "0", "full_name": "O/r0", "git_provider": "github", "is_public": false,
        "stargazers_count": 0, "pushed_at": "2026-01-01T00:00:00Z", "main_branch": "main"});
    assert_eq!(first["items"][0], shown);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = search(&server, &format!("&limit=70{cursor}")).await;
        seen.extend(names(&page).iter().map(|name| (*name).to_owned()));
        match page["next_page_id"].as_str() {
            Some(next) => cursor = format!("&page_id={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..300).map(|n| format!("O/r{n}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_looked_for_over_pages_in_any_case() {
    let github = GitHub::start().await;
    let server = start(&github).await;
    keep(&server, "github_token", "good").await;
    github.asked();
    let (_, page) = search(&server, "&query=o/R29").await;
    let fitting = ["O/r29", "O/r290", "O/r291"];
    assert_eq!((&names(&page)[..3], names(&page).len()), (&fitting[..], 11));
    assert_eq!((github.asked(), &page["next_page_id"]), (vec![1, 2, 3], &Value::Null));
    let (_, page) = search(&server, "&query=r29&limit=2").await;
    assert_eq!((names(&page), &page["next_page_id"]), (vec!["O/r29", "O/r290"], &json!("3:1")));
    let (_, page) = search(&server, "&query=r29&limit=2&page_id=3:1").await;
    assert_eq!(names(&page), ["O/r291", "O/r292"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_nobody_is_asked_and_with_a_bad_one_nothing_of_it_is_told() {
    let github = GitHub::start().await;
    let server = start(&github).await;
    let nothing = json!({"items": [], "next_page_id": null, "missing_token": true});
    assert_eq!(search(&server, "").await, (200, nothing));
    assert_eq!(github.asked(), [0; 0]);
    let failed = json!({"detail": "GitHub repository search failed"});
    for (token, status) in [("bad", 403), ("broken", 502)] {
        keep(&server, "GITHUB_TOKEN", token).await;
        assert_eq!(search(&server, "").await, (status, failed.clone()), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_looked_for_is_told() {
    let server = start(&GitHub::start().await).await;
    let get = async |query: &str| server.get(&format!("/api/git/repositories/search{query}")).await;
    let (status, answer) = get("?provider=gitlab").await;
    assert_eq!(
        (status, &answer["detail"]),
        (400, &json!("Repository discovery is not supported for provider 'gitlab'"))
    );
    let (status, answer) = get("?provider=zz").await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["query", "provider"])));
    assert_eq!(
        answer["detail"][0]["msg"],
        "Input should be 'github', 'gitlab', 'bitbucket' or 'azure_devops'"
    );
    assert_eq!(get("").await.0, 422);
    let (status, answer) = get("?provider=github&page_id=x").await;
    assert_eq!((status, &answer["detail"]), (400, &json!("Invalid repository page_id")));
}
