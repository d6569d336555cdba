//! What `compose.yaml`, and what is written of it, says of the parts.

/// The lines of a service or a volume, as they are written; anchors are not followed.
fn part(name: &str) -> Vec<String> {
    let file = text();
    let indented = |line: &&str| line.starts_with("   ") || line.trim().is_empty();
    let mut lines = file.lines().skip_while(|line| *line != format!("  {name}:"));
    assert!(lines.next().is_some(), "{name} is in compose.yaml");
    lines.take_while(indented).map(|line| line.trim().to_owned()).collect()
}

fn text() -> String {
    of("compose.yaml")
}

fn of(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn a_backup_is_made_once_nobody_writes_any_more() {
    let operations = of("deploy/OPERATIONS.md");
    let (_, backup) = operations.split_once("\n## Backup").unwrap();
    let (stopping, _) = backup.split_once("\n      for volume in").unwrap();
    let steps: Vec<_> = stopping.lines().rev().take(5).map(str::trim).collect();
    let expected =
        ["docker compose stop", "docker compose run --rm supervisor end", "docker compose stop supervisor"];
    assert_eq!(steps[..3], expected);
    let begun = ["mkdir -p backup && rm -f backup/complete", "( set -e"];
    assert_eq!(steps[3..], begun, "what cannot be done ends it, and nothing of an earlier one counts");
}

#[test]
fn what_operators_write_beside_it_is_not_for_the_repository() {
    let ignored = of(".gitignore");
    for secret in ["/.env", "/compose.override.yaml", "/backup"] {
        assert!(ignored.lines().any(|line| line == secret), "{secret}");
    }
}

#[test]
fn a_second_project_shares_no_name_with_the_first() {
    let file = text();
    let built = file.lines().map(str::trim).filter(|line| line.contains("manyhands"));
    let named: Vec<_> = built
        .filter(|line| ["image:", "name:", "OH_"].iter().any(|key| line.starts_with(key)))
        .filter(|line| !line.contains("OH_WORKER_BINARY") && *line != "name: manyhands")
        .collect();
    assert_eq!(named, [""; 0], "the names of what is shared on a machine follow from the project's");
    let supervisor = part("supervisor");
    for own in [
        "OH_CLUSTER: ${COMPOSE_PROJECT_NAME}",
        "OH_SANDBOX_DOOR: ${COMPOSE_PROJECT_NAME}_door",
        "OH_SANDBOX_VOLUME: ${COMPOSE_PROJECT_NAME}_sandboxes",
    ] {
        assert!(supervisor.iter().any(|line| line == own), "{own}");
    }
    let volumes = file.split("\nvolumes:\n").nth(1).unwrap();
    let fixed =
        volumes.lines().filter(|line| line.contains("name:") && !line.contains("COMPOSE_PROJECT_NAME"));
    assert_eq!(fixed.count(), 0);
}

/// The variables of a section of the page of settings.
fn settings(section: &str) -> Vec<String> {
    let page = of("docs/SETTINGS.md");
    let (_, of_section) = page.split_once(&format!("## {section}\n")).unwrap();
    let rows = of_section.split("\n## ").next().unwrap().lines();
    rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

#[test]
fn every_setting_of_a_supervisor_reaches_it() {
    let supervisor = part("supervisor");
    let passes = |name: &str| supervisor.iter().any(|line| line.starts_with(&format!("{name}:")));
    let mut lost = [settings("All parts of a cluster"), settings("The supervisor of a cluster")].concat();
    lost.extend(
        ["OH_MAX_CONCURRENT_RUNS", "OH_PASS_ENV", "OH_BASH_EVENTS_RETENTION_SECONDS"].map(str::to_owned),
    );
    lost.extend((0..10).map(|number| format!("OH_PASS_ENV_{number}")));
    // Of sandboxes that are processes.
    lost.retain(|name| !["OH_SANDBOX_DRIVER", "OH_SANDBOX_ROOT"].contains(&name.as_str()) && !passes(name));
    assert_eq!(lost, [""; 0]);
    for key in ["OH_SECRET_KEY", "OH_SESSION_API_KEYS", "OH_JWT_SECRET", "env_file"] {
        assert!(!passes(key), "{key} is none of its business");
    }
}

#[test]
fn every_setting_in_the_file_of_settings_reaches_the_gateway() {
    assert!(part("gateway").iter().any(|line| line == "env_file: [{ path: .env, required: false }]"));
}

#[test]
fn a_server_with_much_to_read_is_waited_for_and_may_fill_its_disk() {
    assert!(part("nats").iter().any(|line| line.starts_with("start_period: ") && line.ends_with('m')));
    let nats = of("deploy/nats.conf");
    assert!(nats.contains("max_file_store:"));
}
