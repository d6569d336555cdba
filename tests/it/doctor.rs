//! What `manyhands doctor` finds out about what is stored.

use std::process::Command;

use reqwest::Method;
use serde_json::json;
use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");
const KEY: &str = "the first key";

/// What it says of stored secrets.
fn said(start: &Start, variables: &[(&str, &str)]) -> String {
    let mut doctor = Command::new(BINARY);
    doctor.arg("doctor").args(["--port", "0"]).current_dir(start.folder());
    doctor.envs(start.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = doctor.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("marked-value"), "{said}");
    said.lines().find(|line| line.split_whitespace().nth(1) == Some("secrets")).unwrap().to_owned()
}

#[tokio::test]
async fn the_doctor_names_the_secrets_that_the_keys_do_not_open() {
    let start = Start::new(BINARY);
    assert!(said(&start, &[("OH_SECRET_KEY", KEY)]).starts_with("ok"), "nothing is stored");
    assert!(!start.folder().join("workspace/.manyhands/secret_key").exists(), "no key is made by looking");
    let mut server = start.clone().with("OH_SECRET_KEY", KEY).start();
    let secret = json!({"name": "A_TOKEN", "value": "marked-value"});
    let put = server.client.request(Method::PUT, "/api/settings/secrets").json(&secret).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let settings = json!({"agent_settings_diff": {"llm": {"model": "m", "api_key": "marked-value"}}});
    assert_eq!(server.client.patch("/api/settings", &settings).await.0, 200);
    server.client.create("http://127.0.0.1:9/v1", &server.folder().join("w").display().to_string()).await;

    // Also beside a server that runs.
    assert!(said(&start, &[("OH_SECRET_KEY", KEY)]).starts_with("ok"));
    assert!(server.terminate().success());
    let wrong = said(&start, &[("OH_SECRET_KEY", "another key")]);
    assert!(wrong.starts_with("FAIL"), "{wrong}");
    for told in [
        "A_TOKEN of the tenant default",
        "1 in the settings",
        "those of 1 conversation",
        "OH_PREVIOUS_SECRET_KEYS",
    ] {
        assert!(wrong.contains(told), "{told}: {wrong}");
    }
    let rotated = [("OH_SECRET_KEY", "another key"), ("OH_PREVIOUS_SECRET_KEYS_0", KEY)];
    assert!(said(&start, &rotated).starts_with("ok"));
    let gone = said(&start, &[]);
    assert!(gone.starts_with("FAIL") && gone.contains("the key beside the data is gone"), "{gone}");
}
