//! What is brought once is there once, and what does not fit costs nothing else.

use std::sync::Arc;

use secrecy::ExposeSecret;
use telemetry::metrics::Metrics;
use vault::{PEERS_TENANT, Vault};

use super::*;

struct World {
    shelves: Shelves,
    vault: Arc<Vault>,
    tenant: TenantId,
    _store: embedded::Guard,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(dir.path(), embedded::Fsync::Always);
    let (ports, store) = embedded::open(options).await.unwrap();
    let vault = Arc::new(Vault::new(&"k".into(), &[]));
    let shelves = Shelves::new(ports.kv.clone(), vault.clone(), Metrics::default().work);
    World { shelves, vault, tenant: TenantId::parse("b").unwrap(), _store: store, _dir: dir }
}

fn files(vault: &Vault) -> SetupFiles {
    let key = vault.token("sk-1", PEERS_TENANT);
    SetupFiles {
        settings: json!({"schema_version": 6, "agent_settings": {"llm": {"model": "m", "api_key": key}},
            "conversation_settings": {"max_iterations": 7}, "misc_settings": {"a": 1}, "active_profile": "own"})
        .as_object()
        .cloned(),
        llm_profiles: BTreeMap::from([
            ("own".to_owned(), json!({"model": "m", "api_key": key, "schema_version": 1})),
            ("foreign".to_owned(), json!({"model": "m", "api_key": Vault::new(&"o".into(), &[]).token("x", PEERS_TENANT)})),
        ]),
        connections: vec![json!({"id": "c", "display_name": "C", "provider": "p", "api_key": key, "base_url": null,
            "created_at": 1, "updated_at": 2, "added": true})],
        ..SetupFiles::default()
    }
}

fn came(outcomes: &[(String, Came)], name: &str) -> Came {
    outcomes.iter().find(|(named, _)| named == name).unwrap().1.clone()
}

#[tokio::test]
async fn what_is_brought_twice_is_brought_once_and_goes_out_as_it_came() {
    let world = world().await;
    let files = files(&world.vault);
    let outcomes = bring(&world.shelves, &world.tenant, &files).await.unwrap();
    assert_eq!(came(&outcomes, "agent settings"), Came::New);
    assert_eq!(came(&outcomes, "LLM profile own"), Came::New);
    let Came::Refused(why) = came(&outcomes, "LLM profile foreign") else { panic!("{outcomes:?}") };
    assert!(why.contains("OH_PREVIOUS_SECRET_KEYS_0") && !why.contains("gAAAAA"), "{why}");

    let again = bring(&world.shelves, &world.tenant, &files).await.unwrap();
    assert!(again.iter().all(|(_, came)| *came != Came::New), "{again:?}");

    let out = carry(&world.shelves, &world.tenant).await.unwrap();
    let open = |token: &Value| {
        world.vault.open_token(token.as_str().unwrap(), PEERS_TENANT).unwrap().expose_secret().to_owned()
    };
    assert_eq!(open(&out.llm_profiles["own"]["api_key"]), "sk-1");
    assert_eq!(open(&out.connections[0]["api_key"]), "sk-1");
    assert_eq!(out.connections[0]["added"], true);
    let settings = out.settings.unwrap();
    assert_eq!(open(&settings["agent_settings"]["llm"]["api_key"]), "sk-1");
    assert_eq!(settings["conversation_settings"]["max_iterations"], 7);
    assert_eq!((&settings["misc_settings"], &settings["active_profile"]), (&json!({"a": 1}), &json!("own")));
}

#[tokio::test]
async fn what_was_set_here_stays() {
    let world = world().await;
    let set = |setup: &mut Setup| {
        setup.conversation_settings = json!({"max_iterations": 9});
        Ok(Change::Write(()))
    };
    world.shelves.change(&world.tenant, set).await.unwrap();
    bring(&world.shelves, &world.tenant, &files(&world.vault)).await.unwrap();
    let settings = carry(&world.shelves, &world.tenant).await.unwrap().settings.unwrap();
    assert_eq!(settings["conversation_settings"]["max_iterations"], 9);
    assert_eq!(settings["agent_settings"]["llm"]["model"], "m");
}

#[tokio::test]
async fn what_does_not_fit_is_left_out_and_keeps_nothing_else_out() {
    let world = world().await;
    let mut files = files(&world.vault);
    let large = "x".repeat(5 << 20);
    files.settings.as_mut().unwrap().insert("misc_settings".to_owned(), json!({ "a": large }));
    let deep: Value = serde_json::from_str(&format!("{}{}", "[".repeat(126), "]".repeat(126))).unwrap();
    files.llm_profiles.insert("deep".to_owned(), json!({"model": "m", "litellm_extra_body": {"a": deep}}));
    let foreign = Vault::new(&"o".into(), &[]).token("x", PEERS_TENANT);
    files.connections.push(json!({"id": "d", "display_name": "D", "provider": "p", "api_key": foreign,
        "base_url": null, "created_at": 1, "updated_at": 2}));
    for is_first in [true, false] {
        let outcomes = bring(&world.shelves, &world.tenant, &files).await.unwrap();
        let Came::Refused(why) = came(&outcomes, "other settings") else { panic!("{outcomes:?}") };
        assert!(why.contains("4 MiB"), "{why}");
        assert!(matches!(came(&outcomes, "LLM profile deep"), Came::Refused(_)), "{outcomes:?}");
        let Came::Refused(why) = came(&outcomes, "provider connection D") else { panic!("{outcomes:?}") };
        assert!(why.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{why}");
        for name in ["agent settings", "conversation settings", "LLM profile own", "provider connection C"] {
            assert_eq!(came(&outcomes, name) == Came::New, is_first, "{name}");
        }
    }
    let kept = carry(&world.shelves, &world.tenant).await.unwrap();
    assert_eq!(kept.llm_profiles.keys().collect::<Vec<_>>(), ["own"]);
}

#[tokio::test]
async fn the_profile_that_settings_are_from_is_not_named_beside_others() {
    let world = world().await;
    let set = |setup: &mut Setup| {
        setup.agent_settings = json!({"llm": {"model": "own"}});
        Ok(Change::Write(()))
    };
    world.shelves.change(&world.tenant, set).await.unwrap();
    bring(&world.shelves, &world.tenant, &files(&world.vault)).await.unwrap();
    assert_eq!(world.shelves.read::<Setup>(&world.tenant).await.unwrap().active_profile, None);
}
