//! Catalogues of skills that the operator names, beside those that clients name.

use std::fs;

use serde_json::{Value, json};
use testing::server::{Server, Start};

async fn skills(server: &Server, marketplaces: Value) -> (Vec<String>, Value) {
    let body = json!({"load_public": true, "load_user": false, "load_project": false, "load_org": false,
        "marketplace_path": null, "registered_marketplaces": marketplaces});
    let found = server.client.post_ok("/api/skills", &body).await;
    let names = found["skills"].as_array().unwrap().iter();
    (names.map(|skill| skill["name"].as_str().unwrap().to_owned()).collect(), found["sources"].clone())
}

#[tokio::test]
async fn catalogues_of_the_operator_are_shown_until_a_client_names_others_like_them() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let folder = start.folder().canonicalize().unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for name in ["one", "two"] {
        fs::create_dir_all(folder.join("market/skills").join(name)).unwrap();
        fs::write(folder.join(format!("market/skills/{name}/SKILL.md")), name).unwrap();
    }
    let server = start
        .clone()
        .with("HOME", &path("home"))
        .with("EXTENSIONS_PATH", &path("public"))
        .with("OH_REGISTERED_MARKETPLACES_0_NAME", "m")
        .with("OH_REGISTERED_MARKETPLACES_0_SOURCE", &path("market"))
        .with("OH_REGISTERED_MARKETPLACES_0_AUTO_LOAD", r#"["one"]"#)
        .start();
    let (shown, sources) = skills(&server, json!([])).await;
    assert_eq!((shown, &sources["registered_marketplaces"]), (vec!["one".to_owned()], &json!(1)));
    let other = json!([{"name": "m", "source": path("market"), "auto_load": ["two"]}]);
    assert_eq!(skills(&server, other).await.0, ["two"]);
    let none = json!([{"name": "m", "source": path("market")}]);
    assert_eq!(skills(&server, none).await.0, [""; 0]);
}
