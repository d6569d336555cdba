//! What `compose.yaml` says of the parts.

/// The lines of a service or a volume, as they are written; anchors are not followed.
fn part(name: &str) -> Vec<String> {
    let file = text();
    let indented = |line: &&str| line.starts_with("   ") || line.trim().is_empty();
    let mut lines = file.lines().skip_while(|line| *line != format!("  {name}:"));
    assert!(lines.next().is_some(), "{name} is in compose.yaml");
    lines.take_while(indented).map(|line| line.trim().to_owned()).collect()
}

fn text() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/compose.yaml")).unwrap()
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
    let fixed = volumes.lines().filter(|line| line.contains("name:") && !line.contains("COMPOSE_PROJECT_NAME"));
    assert_eq!(fixed.count(), 0);
}

#[test]
fn nothing_ends_the_workers_when_a_supervisor_is_stopped() {
    assert!(!text().contains("OH_END_SANDBOXES"));
}
