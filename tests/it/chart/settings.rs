//! What the parts are told are settings that there are, and none twice.

use std::collections::BTreeSet;

use super::{Objects, SETS, Tools, items, text};

/// Without `OH_`, and not on the page with a row of their own.
const OTHERS: [&str; 6] = [
    "LOG_LEVEL",
    "LOG_JSON",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "HTTPS_PROXY",
    "NODE",
];

fn page() -> BTreeSet<String> {
    let page = std::fs::read_to_string("docs/SETTINGS.md").unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// The variables of the parts that have settings.
fn variables(objects: &Objects) -> Vec<Vec<String>> {
    let parts = ["gateway", "supervisor", "init"];
    let pods = objects.pods().into_iter();
    let pods = pods.filter(|pod| parts.contains(&text(&pod.labels["app.kubernetes.io/component"])));
    let of = |container: &serde_json::Value| {
        items(&container["env"]).map(|one| text(&one["name"]).to_owned()).collect::<Vec<_>>()
    };
    pods.flat_map(|pod| pod.containers().map(of).collect::<Vec<_>>()).collect()
}

fn without_number(name: &str) -> &str {
    name.trim_end_matches(|letter: char| letter.is_ascii_digit()).strip_suffix('_').unwrap_or(name)
}

#[test]
fn every_setting_that_the_chart_gives_is_one() {
    let Some(tools) = Tools::find() else { return };
    let known = page();
    assert!(known.len() > 50);
    for set in SETS {
        for names in variables(&tools.render(set, &["--is-upgrade"])) {
            let strange = |name: &&String| {
                !known.contains(*name)
                    && !known.contains(without_number(name))
                    && !OTHERS.contains(&name.as_str())
            };
            assert_eq!(names.iter().filter(strange).collect::<Vec<_>>(), Vec::<&String>::new(), "{set}");
            let once: BTreeSet<_> = names.iter().collect();
            assert_eq!(once.len(), names.len(), "{set}: {names:?}");
        }
    }
}

/// Of those that there are for the sake of Kubernetes each has a value of its own.
#[test]
fn every_setting_of_the_kubernetes_driver_can_be_given() {
    let Some(tools) = Tools::find() else { return };
    let given: BTreeSet<_> =
        SETS.iter().flat_map(|set| variables(&tools.render(set, &[]))).flatten().collect();
    let all: Vec<_> = page().into_iter().filter(|name| name.starts_with("OH_KUBERNETES_")).collect();
    assert!(all.len() > 10);
    assert_eq!(all.iter().filter(|name| !given.contains(*name)).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn settings_reach_the_program_as_they_were_written() {
    let Some(tools) = Tools::find() else { return };
    let objects = tools.render("adversarial", &[]);
    let gateway = objects.pod("gateway");
    let env: Vec<_> = gateway.containers().flat_map(|container| items(&container["env"])).collect();
    let value = |name: &str| text(&env.iter().find(|one| one["name"] == name).unwrap()["value"]).to_owned();
    assert_eq!(value("OH_ALLOW_CORS_ORIGIN_REGEX"), r#"^https://.*\.example$ # "{{ .Values }}""#);
    assert_eq!(value("OH_SANDBOX_STORAGE_MIB"), "1073741824", "no exponent");
    assert_eq!(value("OH_TENANT_BUDGET_USD"), "0.01");
    assert_eq!(value("OH_PASS_ENV"), r#"["A","B_*"]"#);
    assert_eq!(value("OH_PLAINTEXT_SECRETS"), "false");
    let supervisor = objects.pod("supervisor");
    let env: Vec<_> = supervisor.containers().flat_map(|container| items(&container["env"])).collect();
    let value = |name: &str| text(&env.iter().find(|one| one["name"] == name).unwrap()["value"]).to_owned();
    assert_eq!(value("OH_SANDBOX_MEMORY_MIB"), "1073741824");
    assert_eq!(value("OH_SANDBOX_CPUS"), "0.5");
    assert_eq!(value("OH_KUBERNETES_TOLERATIONS"), r#"[{"key":"a\"b","operator":"Exists"}]"#);
    assert_eq!(value("OH_CLUSTER"), "0");
}
