//! Nothing that a login takes or gives is lost, and nothing of it stays, whoever goes away.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::KvDouble;
use ports::{Error, Expect, Kv};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::fake::{CODE, Fake, Way};
use super::{asking, begun, begun_from, call_back, logged_in, post, status, test};
use crate::harness::{Client, Gateway, Server, config, start};

/// Whoever brings the code hangs up as soon as it is spent.
async fn bring_code(client: &Client, fake: &Fake, job: &str, back: &str) {
    let spent = fake.tokens_asked() + 1;
    let callback = client.request(Method::POST, &format!("/api/mcp/oauth/callback/{job}"));
    let calling = tokio::spawn(callback.json(&json!({ "callback_url": back })).send());
    testing::until(async || fake.tokens_asked() == spent).await;
    calling.abort();
    let _ = calling.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_are_finished_a_few_at_a_time_and_a_code_that_has_to_wait_is_still_good() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let mut logins = Vec::new();
    for _ in 0..5 {
        logins.push(begun(&server, &fake, CODE).await);
    }
    let (last, its_back) = logins.pop().unwrap();
    fake.be_slow(true);
    for (job, back) in &logins {
        bring_code(&server, &fake, job, back).await;
    }
    assert_eq!(call_back(&server, &last, &its_back).await.0, 429);
    let later = "This is not possible just now. Load this page again in a moment.";
    assert_eq!(browser_at(&its_back).await, later);
    assert_eq!(post(&server, "/api/mcp/test", asking(&fake)).await.0, 429);
    assert_eq!(fake.tokens_asked(), 4);
    fake.be_slow(false);
    for (job, _) in &logins {
        testing::until(async || status(&server, job).await.1["status"] == "succeeded").await;
    }
    testing::until(async || call_back(&server, &last, &its_back).await.1["status"] == "succeeded").await;
    assert_eq!(fake.tokens_asked(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_whose_server_stops_while_it_is_tried_has_its_tokens() {
    let server = start().await;
    let other = server.replica().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    fake.be_slow(true);
    bring_code(&other, &fake, &job, &back).await;
    let tried = |asked: &String| asked == "POST /mcp";
    testing::until(async || fake.asked().iter().filter(|asked| tried(asked)).count() == 2).await;
    let (_, now) = status(&server, &job).await;
    assert_eq!((&now["status"], now.get("oauth_state")), (&json!("authorizing"), None));
    other.stop().await;
    let (_, ended) = status(&server, &job).await;
    assert_eq!((&ended["status"], &ended["tools"]), (&json!("succeeded"), &json!([])));
    fake.be_slow(false);
    assert_eq!(test(&server, logged_in(&fake, &ended["oauth_state"])).await["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_told_although_the_server_does_not_work_with_them() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    fake.be_rude(true);
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    assert_eq!(ended["status"], "failed");
    // The old ones are no good any more, and what renews them is good once.
    fake.forget_tokens();
    let tried = test(&server, logged_in(&fake, &ended["oauth_state"])).await;
    assert_eq!(
        (&tried["ok"], &tried["error"]),
        (&json!(false), &json!("The server refused: no, Bearer **********"))
    );
    fake.forget_tokens();
    let (_, started) = post(&server, "/api/mcp/oauth/start", logged_in(&fake, &tried["oauth_state"])).await;
    assert_eq!(started["ok"], false, "{started}");
    let (_, begun) = status(&server, started["job_id"].as_str().unwrap()).await;
    fake.forget_tokens();
    let body = logged_in(&fake, &begun["oauth_state"]);
    fake.be_rude(false);
    let works = test(&server, body).await;
    assert_eq!(works["ok"], true, "{works}");
    // Those that are as they were are not told again.
    fake.be_rude(true);
    assert_eq!(test(&server, logged_in(&fake, &works["oauth_state"])).await.get("oauth_state"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_cannot_be_begun_leaves_an_earlier_one_its_door() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    let port = Url::parse(&back).unwrap().port();
    let body = logged_in(&fake, &ended["oauth_state"]);
    fake.forget_tokens();
    fake.refuse_tokens(Some(400));
    let (waiting, back) = begun_from(&server, body.clone(), CODE).await;
    assert_eq!(Url::parse(&back).unwrap().port(), port, "its provider knows no other");
    fake.name_provider("http://127.0.0.1:9");
    assert_eq!(post(&server, "/api/mcp/oauth/start", body.clone()).await.1["ok"], false);
    fake.name_provider(&fake.address);
    fake.refuse_tokens(None);
    assert_eq!(browser_at(&back).await, "You are logged in. This window can be closed.");
    assert_eq!(status(&server, &waiting).await.1["status"], "succeeded");
    // One that is begun takes its place.
    fake.forget_tokens();
    fake.refuse_tokens(Some(400));
    begun_from(&server, body.clone(), CODE).await;
    let (_, back) = begun_from(&server, body, CODE).await;
    assert_eq!(Url::parse(&back).unwrap().port(), port);
    fake.refuse_tokens(None);
    assert_eq!(browser_at(&back).await, "You are logged in. This window can be closed.");
}

async fn browser_at(url: &str) -> String {
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    browser.get(url.replace("localhost", "127.0.0.1")).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_of_a_login_whose_user_has_not_come_back() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, _) = begun(&server, &fake, CODE).await;
    grow_old(&server).await;
    assert_eq!(status(&server, &job).await.0, 404);
    assert_eq!(jobs(&server).await, json!([]));
    begun(&server, &fake, CODE).await;
    grow_old(&server).await;
    let server = server.restart().await;
    testing::until(async || jobs(&server).await == json!([])).await;
}

/// A store that is away for some of the writes of logins, which are counted.
struct Away {
    inner: Arc<dyn Kv>,
    writes: AtomicUsize,
    refused: Range<usize>,
}

impl Away {
    /// A gateway on the stores of a server, but for that.
    async fn beside(server: &Server, refused: Range<usize>) -> Gateway {
        let mut ports = server.ports.clone();
        let (inner, writes) = (Arc::clone(&ports.kv), AtomicUsize::default());
        ports.kv = Arc::new(Self { inner, writes, refused });
        Gateway::start(ports, config()).await
    }
}

#[async_trait]
impl KvDouble for Away {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(self.inner.as_ref())
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        let is_away =
            bucket == "LOGINS" && self.refused.contains(&self.writes.fetch_add(1, Ordering::Relaxed));
        match is_away {
            true => Err(Error::Unavailable("a test has taken it away".to_owned())),
            false => self.inner.put(bucket, key, value, expect).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_kept_although_the_store_is_away_when_the_code_is_spent() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    // The first write takes the job.
    let other = Away::beside(&server, 1..4).await;
    call_back(&other, &job, &back).await;
    let ended = testing::eventually("they are kept", async || {
        let (_, now) = status(&server, &job).await;
        (now["status"] == "succeeded").then_some(now)
    });
    assert_eq!(test(&server, logged_in(&fake, &ended.await["oauth_state"])).await["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_token_is_kept_although_the_store_is_away_then() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    fake.forget_tokens();
    // The first write says that it is renewed.
    let other = Away::beside(&server, 1..4).await;
    let body = logged_in(&fake, &ended["oauth_state"]);
    let (code, started) = post(&other, "/api/mcp/oauth/start", body.clone()).await;
    assert_eq!((code, &started["ok"]), (200, &json!(true)), "{started}");
    let (_, now) = status(&server, started["job_id"].as_str().unwrap()).await;
    assert_eq!(test(&server, logged_in(&fake, &now["oauth_state"])).await["ok"], true);
    assert_eq!(
        test(&server, body).await["ok"],
        true,
        "what renews it is spent, and what came of it is noted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_few_are_renewed_at_once_whoever_hangs_up() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    fake.forget_tokens();
    fake.hold_tokens(true);
    let with = |renewing: &str| {
        let mut state = ended["oauth_state"].clone();
        state["tokens"]["refresh_token"] = json!(renewing);
        logged_in(&fake, &state)
    };
    for number in 0..4 {
        let asked = fake.tokens_asked() + 1;
        let body = with(&format!("renewing-token-a{number}"));
        let trial = tokio::spawn(server.request(Method::POST, "/api/mcp/test").json(&body).send());
        testing::until(async || fake.tokens_asked() == asked).await;
        trial.abort();
        let _ = trial.await;
    }
    // The places of those trials are free.
    testing::until(async || post(&server, "/api/mcp/test", asking(&fake)).await.0 == 200).await;
    let asked = fake.tokens_asked();
    assert_eq!(post(&server, "/api/mcp/test", with("renewing-token-b")).await.0, 429);
    assert_eq!(fake.tokens_asked(), asked);
    fake.hold_tokens(false);
    testing::until(async || post(&server, "/api/mcp/test", with("renewing-token-b")).await.1["ok"] == true)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_several_want_to_renew_are_renewed_once_whichever_gateway_they_ask() {
    let server = start().await;
    let other = server.replica().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    let body = logged_in(&fake, &ended["oauth_state"]);
    let renewals = || fake.asked().iter().filter(|asked| *asked == "POST /token refresh_token").count();
    fake.forget_tokens();
    let (one, another) = tokio::join!(test(&server, body.clone()), test(&other, body.clone()));
    assert_eq!((&one["ok"], &another["ok"], renewals()), (&json!(true), &json!(true), 1), "{one} {another}");
    // Nor is anything lost to one whose answer was.
    assert_eq!((&test(&server, body.clone()).await["ok"], renewals()), (&json!(true), 1));
    fake.forget_tokens();
    assert_eq!((&test(&other, body).await["ok"], renewals()), (&json!(true), 2));
}

/// A quarter of an hour and more has passed.
async fn grow_old(server: &Server) {
    let (key, mut stored) = shelf(server).await;
    for job in stored["mcp_jobs"].as_array_mut().unwrap() {
        job["made_at"] = (job["made_at"].as_u64().unwrap() - 16 * 60).into();
    }
    let stored = serde_json::to_vec(&stored).unwrap().into();
    server.ports.kv.put("LOGINS", &key, stored, Expect::Anything).await.unwrap();
}

async fn jobs(server: &Server) -> Value {
    shelf(server).await.1["mcp_jobs"].clone()
}

async fn shelf(server: &Server) -> (String, Value) {
    let (key, entry) = server.ports.kv.list("LOGINS").await.unwrap().remove(0);
    (key, serde_json::from_slice(&entry.value).unwrap())
}
