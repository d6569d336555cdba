//! NATS takes the configuration that the chart makes for it, with the accounts that `manyhands init` makes.

use std::path::Path;
use std::process::Command;

use super::{Tools, text};

/// What a server says of it.
fn checked(config: &str, folder: &Path) -> (bool, String) {
    let path = folder.join("nats.conf");
    std::fs::write(&path, config).unwrap();
    let server = std::env::var("MANYHANDS_NATS_SERVER").unwrap();
    let output =
        Command::new(server).arg("-t").arg("-c").arg(&path).env("POD_NAME", "nats-0").output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn nats_takes_its_configuration_with_one_server_and_with_three_and_with_tls() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut init = Command::new(env!("CARGO_BIN_EXE_manyhands"));
    let made = init.args(["init", "--dir"]).arg(folder.path().join("keys")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::create_dir(folder.path().join("auth")).unwrap();
    std::fs::rename(folder.path().join("keys/nats/auth.conf"), folder.path().join("auth/auth.conf")).unwrap();
    let tls = format!("{}/crates/nats/tests/it/tls", env!("CARGO_MANIFEST_DIR"));
    for set in ["default", "small", "production"] {
        let objects = tools.render(set, &[]);
        let config = text(&objects.get("ConfigMap", "mh-manyhands-nats")["data"]["nats.conf"]).to_owned();
        for promised in ["sync_interval: always", "max_payload: 8MB"] {
            assert!(config.contains(promised), "{set}: {promised}");
        }
        assert_eq!(config.contains("verify: true"), set == "production");
        assert_eq!(config.contains("routes: ["), set != "small");
        let config = config
            .replace("/tls/tls.crt", &format!("{tls}/named.pem"))
            .replace("/tls/tls.key", &format!("{tls}/named.key"))
            .replace("/tls/ca.crt", &format!("{tls}/named-authority.pem"));
        let (is_taken, said) = checked(&config, folder.path());
        assert!(is_taken, "{set}: {said}");
        let (is_taken, said) = checked(&config.replace("sync_interval", "sink_interval"), folder.path());
        assert!(!is_taken, "it looks at what it is given: {said}");
    }
}
