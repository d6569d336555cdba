//! What service accounts may do: so much and no more.

use serde_json::{Value, json};

use super::{Objects, SETS, Tools, items, text};

/// The rules of a Role, as far as they give something.
fn rules(role: &Value) -> Vec<Value> {
    items(&role["rules"]).cloned().collect()
}

fn core(resource: &str, verbs: &[&str]) -> Value {
    json!({"apiGroups": [""], "resources": [resource], "verbs": verbs})
}

#[test]
fn the_supervisor_may_do_what_it_does_and_nothing_else() {
    let Some(tools) = Tools::find() else { return };
    let mut wanted = vec![
        core("pods", &["get", "list", "watch", "create", "delete", "patch"]),
        core("pods/attach", &["get", "create"]),
        core("pods/log", &["get"]),
        core("persistentvolumeclaims", &["get", "list", "create", "delete"]),
        core("events", &["list"]),
        json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mh-manyhands-sandboxes"], "verbs": ["get"]}),
    ];
    let objects = tools.render("default", &[]);
    assert_eq!(rules(objects.get("Role", "mh-manyhands-supervisor")), wanted);
    let by_secrets = tools.render("default", &["--set", "sandboxes.handover=secret"]);
    wanted[1] = core("secrets", &["create"]);
    assert_eq!(rules(by_secrets.get("Role", "mh-manyhands-supervisor")), wanted);
}

#[test]
fn the_job_for_keys_may_read_its_own_secrets_alone() {
    let Some(tools) = Tools::find() else { return };
    let named = ["operator", "nats", "gateway", "supervisor"].map(|part| format!("mh-manyhands-{part}"));
    let wanted = [
        core("secrets", &["create"]),
        json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": named, "verbs": ["get", "patch"]}),
    ];
    assert_eq!(rules(tools.render("default", &[]).get("Role", "mh-manyhands-init")), wanted);
}

/// The supervisor's rights are where the sandboxes are, and nobody has any of the whole cluster.
#[test]
fn rights_are_of_one_namespace_and_of_two_service_accounts() {
    let Some(tools) = Tools::find() else { return };
    for set in SETS {
        let objects = tools.render(set, &[]);
        assert_eq!(objects.of("ClusterRole").count() + objects.of("ClusterRoleBinding").count(), 0, "{set}");
        for role in objects.of("Role") {
            assert!(!role["rules"].to_string().contains('*'), "{set}: {role}");
        }
        for binding in objects.of("RoleBinding") {
            let (role, subject) = (&binding["roleRef"]["name"], &binding["subjects"][0]);
            assert_eq!(items(&binding["subjects"]).count(), 1);
            let role = objects.get("Role", text(role));
            assert_eq!(role["metadata"]["namespace"], binding["metadata"]["namespace"], "{set}");
            let account = objects.get("ServiceAccount", text(&subject["name"]));
            assert_eq!(account["metadata"]["namespace"], subject["namespace"], "{set}");
            assert_eq!(subject["namespace"], "agents", "{set}");
        }
        let namespace = text(&objects.get("Role", &supervisor(&objects))["metadata"]["namespace"]).to_owned();
        let anchor = objects.of("ConfigMap").find(|map| !map["data"]["cluster"].is_null()).unwrap();
        assert_eq!(anchor["metadata"]["namespace"], namespace, "{set}");
    }
}

fn supervisor(objects: &Objects) -> String {
    let found = objects.of("Deployment").map(|object| text(&object["metadata"]["name"]));
    found.into_iter().find(|name| name.ends_with("-supervisor")).unwrap().to_owned()
}

#[test]
fn a_token_is_mounted_only_where_the_api_server_is_asked() {
    let Some(tools) = Tools::find() else { return };
    for set in SETS {
        let objects = tools.render(set, &[]);
        for account in objects.of("ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false, "{set}: {account}");
        }
        for pod in objects.pods() {
            assert_eq!(pod.spec["automountServiceAccountToken"], false, "{set}: {}", pod.name);
            let sources =
                items(&pod.spec["volumes"]).flat_map(|volume| items(&volume["projected"]["sources"]));
            let tokens: Vec<_> = sources.filter_map(|source| source.get("serviceAccountToken")).collect();
            let asks = ["supervisor", "init"].contains(&text(&pod.labels["app.kubernetes.io/component"]));
            assert_eq!(tokens.len(), usize::from(asks), "{set}: {}", pod.name);
            assert!(tokens.iter().all(|token| token["expirationSeconds"] == 3_600), "{set}: {}", pod.name);
        }
    }
}
