//! Who gives out tokens for a server, and who is shown what.

use reqwest::Url;
use serde_json::{Value, json};

use super::fake::{CODE, Describes, Fake, Way};
use super::{asking, begun, begun_from, call_back, logged_in, post, test};
use crate::harness::{Client, start};

const START: &str = "/api/mcp/oauth/start";

/// What a login has come to.
async fn login(client: &Client, fake: &Fake) -> Value {
    let (job, back) = begun(client, fake, CODE).await;
    let (_, ended) = call_back(client, &job, &back).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    ended["oauth_state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_renewed_where_they_came_from_whomever_the_server_names_today() {
    let server = start().await;
    let (fake, thief) = (Fake::start(Way::Login).await, Fake::start(Way::Login).await);
    let state = login(&server, &fake).await;
    fake.forget_tokens();
    fake.name_provider(&thief.address);
    let answer = test(&server, logged_in(&fake, &state)).await;
    assert_eq!(answer["ok"], true, "{answer}");
    assert!(thief.asked().is_empty(), "{:?}", thief.asked());
    // A new login makes a new client there.
    fake.forget_tokens();
    fake.refuse_tokens(Some(400));
    let (_, started) = post(&server, START, logged_in(&fake, &state)).await;
    assert_eq!(started["ok"], true, "{started}");
    assert!(thief.asked().contains(&"POST /register".to_owned()));
    assert_eq!(thief.tokens_asked(), 0);
    assert!(!started["authorization_url"].as_str().unwrap().contains("the-client-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_describes_itself_in_its_refusal_alone_has_its_tokens_renewed() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    fake.describe(Describes::InChallenge);
    let state = login(&server, &fake).await;
    fake.forget_tokens();
    let renewed = test(&server, logged_in(&fake, &state)).await;
    assert_eq!(renewed["ok"], true, "{renewed}");
    let body = logged_in(&fake, &renewed["oauth_state"]);
    // That the provider fails for a moment is no lost login, and keeps nobody from a new one.
    fake.forget_tokens();
    fake.refuse_tokens(Some(503));
    let failed = test(&server, body.clone()).await;
    assert_eq!(failed["error"], "The provider of the login answered HTTP 503.");
    begun_from(&server, body.clone(), CODE).await;
    fake.refuse_tokens(Some(400));
    let refused = test(&server, body.clone()).await;
    assert_eq!(refused["error"], "The server asks for an authorization.");
    begun_from(&server, body.clone(), CODE).await;
    fake.refuse_tokens(None);
    assert_eq!(test(&server, body).await["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_names_no_provider_is_its_own_and_nobody_elses() {
    let server = start().await;
    let (fake, honest) = (Fake::start(Way::Login).await, Fake::start(Way::Login).await);
    fake.describe(Describes::Nowhere);
    login(&server, &fake).await;
    let elsewhere = "The provider of the login is elsewhere, and the server does not name it.";
    for (field, path, error) in [
        ("authorization_endpoint", "/authorize", elsewhere),
        ("token_endpoint", "/token", elsewhere),
        ("registration_endpoint", "/register", elsewhere),
        ("issuer", "", "The provider of the login is not the one that the server names."),
    ] {
        fake.say_as_provider(json!({ field: format!("{}{path}", honest.address) }));
        let (_, answer) = post(&server, START, asking(&fake)).await;
        assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(error)), "{field}");
    }
    assert!(honest.asked().is_empty(), "{:?}", honest.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_secret_that_its_user_has_named_is_for_the_provider_that_it_was_used_with() {
    let server = start().await;
    let (fake, thief) = (Fake::start(Way::Login).await, Fake::start(Way::Login).await);
    let own = json!({"type": "oauth", "client_id": "client-1", "client_secret": "the-client-secret"});
    let body = |state: &Value| {
        let mut body = logged_in(&fake, state);
        body["server"]["auth"]["authentication"] = own.clone();
        body
    };
    let (job, back) = begun_from(&server, body(&Value::Null), CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    fake.forget_tokens();
    fake.refuse_tokens(Some(400));
    // With the same provider once more.
    begun_from(&server, body(&ended["oauth_state"]), CODE).await;
    fake.name_provider(&thief.address);
    let (_, answer) = post(&server, START, body(&ended["oauth_state"])).await;
    let told = "The provider of the login is another one than that which knows the client.";
    assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(told)));
    assert!(thief.asked().is_empty(), "{:?}", thief.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_another_provider_or_of_nobody_is_refused() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let (job, back) = begun(&server, &fake, CODE).await;
    let refused = (400, json!({"detail": "Unexpected OAuth callback URL"}));
    let others = format!("{back}&iss=http%3A%2F%2Fother.example");
    assert_eq!(call_back(&server, &job, &others).await, refused);
    let own = |back: &str| {
        let mut back = Url::parse(back).unwrap();
        back.query_pairs_mut().append_pair("iss", &fake.address);
        String::from(back)
    };
    assert_eq!(call_back(&server, &job, &own(&back)).await.1["status"], "succeeded");
    // One that says who it is in each answer says so in this one.
    fake.say_as_provider(json!({"authorization_response_iss_parameter_supported": true}));
    let (job, back) = begun(&server, &fake, CODE).await;
    assert_eq!(call_back(&server, &job, &back).await, refused);
    assert_eq!(call_back(&server, &job, &own(&back)).await.1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_of_one_provider_is_shown_to_no_other_also_where_neither_says_who_it_is() {
    let server = start().await;
    let (honest, thief) = (Fake::start(Way::Login).await, Fake::start(Way::Login).await);
    let (_, to_honest) = begun(&server, &honest, CODE).await;
    let (job, to_thief) = begun(&server, &thief, CODE).await;
    // The thief has sent the browser on, to the honest one: that leads it back to where a login with it is awaited.
    let mut mixed = Url::parse(&to_thief).unwrap();
    mixed.set_path(Url::parse(&to_honest).unwrap().path());
    let refused = (400, json!({"detail": "Unexpected OAuth callback URL"}));
    assert_eq!(call_back(&server, &job, mixed.as_str()).await, refused);
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let here = mixed.as_str().replace("localhost", "127.0.0.1");
    assert_eq!(browser.get(here).send().await.unwrap().status(), 404);
    assert_eq!(thief.tokens_asked(), 0);
    assert_eq!(call_back(&server, &job, &to_thief).await.1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_its_user_has_made_is_led_back_where_that_one_says() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    for own in [
        json!({"type": "oauth", "client_id": "client-1", "client_secret": "the-client-secret"}),
        json!({"type": "oauth", "additional_client_metadata": {"redirect_uris": ["http://localhost/callback"]}}),
    ] {
        let mut body = asking(&fake);
        body["server"]["auth"]["authentication"] = own;
        let (_, back) = begun_from(&server, body, CODE).await;
        assert_eq!(Url::parse(&back).unwrap().path(), "/callback");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_an_older_login_goes_on_where_it_is_known_to_come_back() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    let mut state = login(&server, &fake).await;
    let registered = state["client_info"]["redirect_uris"][0].as_str().unwrap();
    let mut place = Url::parse(registered).unwrap();
    place.set_path("/callback");
    state["client_info"]["redirect_uris"] = json!([place.as_str()]);
    fake.forget_tokens();
    fake.refuse_tokens(Some(400));
    let (_, back) = begun_from(&server, logged_in(&fake, &state), CODE).await;
    let mut back = Url::parse(&back).unwrap();
    back.set_query(None);
    assert_eq!(back, place);
    let registrations = fake.asked().iter().filter(|asked| *asked == "POST /register").count();
    assert_eq!(registrations, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_takes_no_proof_keys_is_not_logged_in_to() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    for (known, works) in [
        (json!(["plain"]), false),
        (json!([]), false),
        (json!(["plain", "S256"]), true),
        // As the peer, which looks at none of this.
        (Value::Null, true),
    ] {
        fake.say_as_provider(json!({"code_challenge_methods_supported": known}));
        let (_, answer) = post(&server, START, asking(&fake)).await;
        assert_eq!(answer["ok"], works, "{known}: {answer}");
        let url = answer["authorization_url"].as_str().unwrap_or_default();
        assert_eq!(url.contains("code_challenge_method=S256"), works, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_another_provider_is_refused_also_where_the_server_is_its_own() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    fake.describe(Describes::Nowhere);
    fake.say_as_provider(json!({"issuer": null}));
    let (job, back) = begun(&server, &fake, CODE).await;
    let others = format!("{back}&iss=http%3A%2F%2Fother.example");
    assert_eq!(call_back(&server, &job, &others).await.0, 400);
    assert_eq!(call_back(&server, &job, &back).await.1["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_to_no_other_server_than_that_which_it_is_for() {
    let server = start().await;
    let (fake, thief) = (Fake::start(Way::Login).await, Fake::start(Way::Login).await);
    let state = login(&server, &fake).await;
    let asked = fake.tokens_asked();
    let answer = test(&server, logged_in(&thief, &state)).await;
    assert_eq!(answer["error"], "The server asks for an authorization.");
    let shown = thief.headers().iter().filter(|headers| headers.contains_key("authorization")).count();
    assert_eq!((shown, thief.headers().is_empty(), fake.tokens_asked()), (0, false, asked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_too_long_to_be_kept_is_told() {
    let server = start().await;
    let fake = Fake::start(Way::Login).await;
    fake.pad_tokens(9_000);
    let (job, back) = begun(&server, &fake, CODE).await;
    let (_, ended) = call_back(&server, &job, &back).await;
    assert_eq!(ended["error"], "The provider of the login gives a token that is too long.");
}
