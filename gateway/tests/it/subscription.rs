//! Logins with OpenAI, for those who have subscribed to its models.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, Uri};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use types::buckets::{IDEMPOTENCY, LOGINS};

use crate::harness::tokens::{bearer, token};
use crate::harness::{Client, Config, Gateway, Server, config, start_with, until};

const PATH: &str = "/api/llm/subscription/openai";

/// The provider: it gives out what has `marked` in it to nobody but the server.
#[derive(Clone)]
struct OpenAi(Arc<Inner>, String);

struct Inner {
    state: Mutex<Provided>,
    /// Tokens are given out one for each permit.
    tokens: Semaphore,
}

#[derive(Default)]
struct Provided {
    is_allowed: bool,
    refuses: bool,
    lifetime: u64,
    asked: Vec<(String, String)>,
}

impl OpenAi {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Mutex::new(Provided { lifetime: 3_600, ..Provided::default() });
        let inner = Inner { state, tokens: Semaphore::new(1_000) };
        let openai = Self(Arc::new(inner), format!("http://{}", listener.local_addr().unwrap()));
        let app = Router::new().fallback(answer).with_state(openai.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        openai
    }

    fn change(&self, change: impl FnOnce(&mut Provided)) {
        change(&mut self.0.state.lock().unwrap());
    }

    /// What was sent to this path.
    fn asked(&self, path: &str) -> Vec<String> {
        let state = self.0.state.lock().unwrap();
        state.asked.iter().filter(|(asked, _)| asked == path).map(|(_, body)| body.clone()).collect()
    }

    fn tell(&self, config: &mut Config) {
        config.control.openai = control::OpenAi {
            login_url: self.1.clone().into(),
            models_url: format!("{}/codex", self.1).into(),
        };
    }

    async fn server(&self) -> Server {
        start_with(|config| self.tell(config)).await
    }

    /// Another gateway on the same stores.
    async fn replica(&self, server: &Server) -> Gateway {
        let mut config = config();
        self.tell(&mut config);
        Gateway::start(server.ports.clone(), config).await
    }
}

async fn answer(State(openai): State<OpenAi>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let path = uri.path().to_owned();
    let with_key = headers.get("authorization").map(|key| key.to_str().unwrap().to_owned());
    let number = {
        let mut state = openai.0.state.lock().unwrap();
        state.asked.push((path.clone(), with_key.unwrap_or(body)));
        state.asked.len()
    };
    if path == "/oauth/token" {
        openai.0.tokens.acquire().await.unwrap().forget();
    }
    let state = openai.0.state.lock().unwrap();
    match path.as_str() {
        "/api/accounts/deviceauth/usercode" => {
            axum::Json(json!({"device_auth_id": "auth-marked", "usercode": "ABCD-EFGH", "interval": "3"}))
                .into_response()
        }
        "/api/accounts/deviceauth/token" if state.is_allowed => {
            axum::Json(json!({"authorization_code": "code-marked", "code_verifier": "verifier-marked"}))
                .into_response()
        }
        "/oauth/token" if !state.refuses => {
            let claims = json!({"https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}}).to_string();
            let access = format!("marked.{}.{number}", URL_SAFE_NO_PAD.encode(claims));
            let refresh = format!("refresh-marked-{number}");
            axum::Json(
                json!({"access_token": access, "refresh_token": refresh, "expires_in": state.lifetime}),
            )
            .into_response()
        }
        "/codex/responses" => "data: {}\n\n".into_response(),
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn begin(client: &Client) -> Value {
    let (status, challenge) = client.send(Method::POST, &format!("{PATH}/device/start"), None).await;
    assert_eq!(status, 200, "{challenge}");
    challenge
}

async fn poll(client: &Client, challenge: &Value) -> (u16, Value) {
    let body = json!({"device_code": challenge["device_code"]});
    client.post(&format!("{PATH}/device/poll"), body).await
}

async fn log_in(client: &Client) {
    let challenge = begin(client).await;
    let (_, answer) = poll(client, &challenge).await;
    assert_eq!(answer["connected"], true, "{answer}");
}

async fn status(client: &Client) -> Value {
    let (status, answer) = client.get(&format!("{PATH}/status")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn log_out(client: &Client) -> Value {
    client.send(Method::POST, &format!("{PATH}/logout"), None).await.1
}

fn nobody() -> Value {
    json!({"vendor": "openai", "connected": false, "account_email": null, "expires_at": null})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_begun_on_one_gateway_ends_on_the_other() {
    let openai = OpenAi::start().await;
    let server = openai.server().await;
    let replica = openai.replica(&server).await;
    assert_eq!(status(&server).await, nobody());
    let challenge = begin(&server).await;
    assert_eq!((&challenge["user_code"], &challenge["interval_seconds"]), (&json!("ABCD-EFGH"), &json!(3)));
    assert_eq!(challenge["verification_uri"], format!("{}/codex/device", openai.1));
    assert_eq!(poll(&replica, &challenge).await, (200, nobody()), "the user has not allowed it yet");
    openai.change(|openai| openai.is_allowed = true);
    let (_, connected) = poll(&replica, &challenge).await;
    let hour = connected["expires_at"].as_u64().unwrap() - types::time::unix_ms();
    assert!((3_500_000..=3_600_000).contains(&hour), "{connected}");
    assert_eq!(status(&server).await, connected);
    let (code, answer) = poll(&server, &challenge).await;
    assert_eq!((code, &answer["detail"]), (404, &json!("Subscription device login not found or expired")));
    let form = &openai.asked("/oauth/token")[0];
    assert!(
        form.starts_with("grant_type=authorization_code&code=code-marked&redirect_uri=http%3A%2F%2F"),
        "{form}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_shown_to_nobody_and_stored_sealed() {
    let openai = OpenAi::start().await;
    let server = openai.server().await;
    let pending = begin(&server).await;
    openai.change(|openai| openai.is_allowed = true);
    log_in(&server).await;
    let shown = format!("{pending}{}{}", status(&server).await, poll(&server, &pending).await.1);
    begin(&server).await;
    let stored = server.ports.kv.get(LOGINS, "default").await.unwrap().unwrap().value;
    let stored = String::from_utf8(stored.to_vec()).unwrap();
    assert!(
        !shown.contains("marked") && !stored.contains("marked") && !stored.contains("ABCD-EFGH"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_logged_out_stays_logged_out_whatever_is_under_way() {
    let openai = OpenAi::start().await;
    let server = Arc::new(openai.server().await);
    openai.change(|openai| openai.is_allowed = true);
    let challenge = begin(&server).await;
    openai.0.tokens.forget_permits(1_000);
    let polling = tokio::spawn({
        let (server, challenge) = (server.clone(), challenge.clone());
        async move { poll(&server, &challenge).await }
    });
    until(async || !openai.asked("/oauth/token").is_empty()).await;
    assert_eq!(log_out(&server).await, nobody());
    openai.0.tokens.add_permits(1_000);
    assert_eq!(polling.await.unwrap(), (200, nobody()));
    assert_eq!(status(&server).await, nobody());
    assert_eq!(poll(&server, &challenge).await.0, 404);
    log_in(&server).await;
    log_out(&server).await;
    assert_eq!(status(&server).await, nobody());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_about_to_end_is_refreshed_and_one_that_cannot_be_is_none() {
    let openai = OpenAi::start().await;
    let server = openai.server().await;
    openai.change(|openai| (openai.is_allowed, openai.lifetime) = (true, 30));
    log_in(&server).await;
    openai.change(|openai| openai.refuses = true);
    assert_eq!(status(&server).await, nobody());
    openai.change(|openai| (openai.refuses, openai.lifetime) = (false, 3_600));
    assert_eq!(status(&server).await["connected"], true, "a failure is not the end of the login");
    let forms = openai.asked("/oauth/token");
    assert!(forms[2].starts_with("grant_type=refresh_token&refresh_token=refresh-marked-"), "{forms:?}");
    status(&server).await;
    assert_eq!(openai.asked("/oauth/token").len(), 3, "a good token is not refreshed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_be_reached_is_told_as_such() {
    let server = crate::harness::start().await;
    let (status, answer) = server.send(Method::POST, &format!("{PATH}/device/start"), None).await;
    assert_eq!((status, &answer["detail"]), (502, &json!("The login service cannot be reached.")));
    let openai = OpenAi::start().await;
    openai.change(|openai| (openai.is_allowed, openai.refuses) = (true, true));
    let server = openai.server().await;
    let challenge = begin(&server).await;
    assert_eq!(poll(&server, &challenge).await.0, 502);
    openai.change(|openai| openai.refuses = false);
    assert_eq!(poll(&server, &challenge).await.1["connected"], true, "it can be tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_cannot_finish_a_login_and_has_none() {
    let openai = OpenAi::start().await;
    let server = start_with(|config| {
        openai.tell(config);
        config.site.bearer = Some(bearer());
    })
    .await;
    openai.change(|openai| openai.is_allowed = true);
    let call = async |tenant: &str, method: Method, path: &str, body: Option<&Value>| {
        let request = server.request(method, &format!("{PATH}{path}"));
        let mut request = request.bearer_auth(token(tenant, "read write"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (_, challenge) = call("a", Method::POST, "/device/start", None).await;
    let code = json!({"device_code": challenge["device_code"]});
    assert_eq!(call("b", Method::POST, "/device/poll", Some(&code)).await.0, 404);
    assert_eq!(call("a", Method::POST, "/device/poll", Some(&code)).await.1["connected"], true);
    assert_eq!(call("b", Method::GET, "/status", None).await.1, nobody());
    call("b", Method::POST, "/logout", None).await;
    assert_eq!(call("a", Method::GET, "/status", None).await.1["connected"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_validated_with_its_login() {
    let openai = OpenAi::start().await;
    let server = openai.server().await;
    openai.change(|openai| openai.is_allowed = true);
    log_in(&server).await;
    let tried = async |model: &str| {
        let llm = json!({"model": model, "auth_type": "subscription", "subscription_vendor": "openai"});
        server.post("/api/profiles/p/validate", json!({ "llm": llm })).await.1
    };
    assert_eq!(tried("openai/gpt-5.5").await, json!({"valid": true, "error": null}));
    assert!(openai.asked("/codex/responses")[0].starts_with("Bearer marked."));
    let told = tried("openai/other").await["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        told.starts_with(
            "Model 'other' is not supported for subscription access. Supported models: gpt-5.5, "
        ),
        "{told}"
    );
    let (_, models) = server.get(&format!("{PATH}/models")).await;
    assert_eq!((&models["vendor"], models["models"].as_array().unwrap().len()), (&json!("openai"), 8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_a_login_is_not_kept_for_who_sends_a_call_again() {
    let openai = OpenAi::start().await;
    let server = openai.server().await;
    let again = async |path: &str, body: Option<&Value>| {
        let request = server.request(Method::POST, &format!("{PATH}{path}")).header("idempotency-key", "k");
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert!(!answer.headers().contains_key("idempotency-replayed"), "{path}");
        answer.json::<Value>().await.unwrap()
    };
    let challenge = again("/device/start", None).await;
    let code = json!({"device_code": challenge["device_code"]});
    assert_eq!(again("/device/poll", Some(&code)).await["connected"], false);
    openai.change(|openai| openai.is_allowed = true);
    assert_eq!(again("/device/poll", Some(&code)).await["connected"], true, "not what was answered before");
    assert!(server.ports.kv.list(IDEMPOTENCY).await.unwrap().is_empty());
}
