//! An upgrade keeps the keys and the volumes: what has them keeps its name, and nothing that cannot be changed is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CHART, Objects, Tools, items, text};

/// What the API server refuses to change, by kind.
const FIXED: [(&str, &[&str]); 6] = [
    ("Deployment", &["/spec/selector"]),
    (
        "StatefulSet",
        &["/spec/selector", "/spec/serviceName", "/spec/podManagementPolicy", "/spec/volumeClaimTemplates"],
    ),
    ("Service", &["/spec/clusterIP"]),
    ("RoleBinding", &["/roleRef"]),
    ("PersistentVolumeClaim", &["/spec"]),
    ("ConfigMap", &["/immutable"]),
];

/// What clusters that run have of it. It is not renewed with the rendering: what differs from it cannot be upgraded to. Without
/// the file it is written.
const RUNNING: &str = "tests/it/chart/running.json";

/// The chart as another release of it, with other values of much that an operator changes.
fn later(tools: &Tools) -> Objects {
    let more = [
        "--set=gateway.replicas=5,supervisor.replicas=3,nats.goMemLimit=1GiB,sandboxes.memoryMib=4096,image.digest=",
        "--set=commonLabels.team=a,gateway.podLabels.team=a,nats.podLabels.team=a,commonAnnotations.note=a",
        "--set=gateway.autoscaling.enabled=true,gateway.logLevel=debug,nats.exporter.enabled=true",
    ];
    another_release(tools, &more)
}

fn another_release(tools: &Tools, more: &[&str]) -> Objects {
    let folder = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").args(["-r", CHART]).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let chart = folder.path().join("manyhands");
    let described = std::fs::read_to_string(chart.join("Chart.yaml")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), described.replace("ersion: 0.1.0", "ersion: 9.9.9")).unwrap();
    let chart = chart.to_str().unwrap();
    let mut words = vec!["template", super::RELEASE, chart, "--namespace", super::NAMESPACE, "--is-upgrade"];
    words.extend(more);
    Objects(tools.read(&super::told(tools.helm(&words))))
}

fn key(object: &Value) -> (String, String, String) {
    let of = |pointer: &str| object.pointer(pointer).map(text).unwrap_or_default().to_owned();
    (of("/kind"), of("/metadata/namespace"), of("/metadata/name"))
}

/// Of each object, by kind and name, what cannot be changed.
fn fixed(objects: &Objects) -> Value {
    let of = |object: &Value| {
        let pointers =
            FIXED.iter().filter(|(kind, _)| *kind == text(&object["kind"])).flat_map(|(_, fixed)| *fixed);
        let fields =
            pointers.filter_map(|pointer| Some(((*pointer).to_owned(), object.pointer(pointer)?.clone())));
        let (kind, namespace, name) = key(object);
        (format!("{kind} {namespace}/{name}"), Value::Object(fields.collect()))
    };
    Value::Object(objects.0.iter().map(of).collect())
}

#[test]
fn what_runs_can_be_upgraded_to_this_chart_and_keeps_its_volumes() {
    let Some(tools) = Tools::find() else { return };
    let (now, later) = (fixed(&tools.render("default", &[])), fixed(&later(&tools)));
    if !std::fs::exists(RUNNING).unwrap() {
        std::fs::write(RUNNING, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
    }
    let running: Value = serde_json::from_str(&std::fs::read_to_string(RUNNING).unwrap()).unwrap();
    let running = running.as_object().unwrap();
    assert!(running.values().filter(|fields| **fields != serde_json::json!({})).count() >= 7);
    for (name, fields) in running {
        for new in [&now, &later] {
            assert_eq!(new.get(name), Some(fields), "{name} would have to be made anew");
        }
    }
}

/// Each restart of a server is a moment in which another leads, and of a gateway one in which sockets drop.
#[test]
fn an_upgrade_replaces_no_pod_for_the_sake_of_a_label() {
    let Some(tools) = Tools::find() else { return };
    let (before, after) = (tools.render("default", &[]), another_release(&tools, &[]));
    assert_ne!(before.0, after.0);
    let template = |objects: &Objects, name: &str| {
        let found = objects
            .0
            .iter()
            .find(|object| object["metadata"]["name"] == name && !object["spec"]["template"].is_null());
        found.unwrap()["spec"]["template"].to_string()
    };
    for name in ["mh-manyhands-nats", "mh-manyhands-gateway", "mh-manyhands-supervisor"] {
        let same_image = template(&after, name).replace(":9.9.9", ":0.1.0");
        assert_eq!(same_image, template(&before, name));
    }
}

/// They are objects of the job's and of NATS' own: helm knows nothing of them, and so removes nothing.
#[test]
fn no_secret_and_no_volume_is_part_of_the_release() {
    let Some(tools) = Tools::find() else { return };
    for objects in [tools.render("default", &[]), tools.render("default", &["--is-upgrade"]), later(&tools)] {
        assert_eq!(objects.of("Secret").count() + objects.of("PersistentVolumeClaim").count(), 0);
        let nats = objects.get("StatefulSet", "mh-manyhands-nats");
        let retained = &nats["spec"]["persistentVolumeClaimRetentionPolicy"];
        assert_eq!((&retained["whenDeleted"], &retained["whenScaled"]), (&"Retain".into(), &"Retain".into()));
        let namespaces = objects.of("Namespace");
        let keeps = |one: &Value| one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
        assert!(namespaces.into_iter().all(keeps));
    }
    let production = tools.render("production", &[]);
    assert!(
        production
            .of("Namespace")
            .all(|one| one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep")
    );
    assert_eq!(production.of("Namespace").count(), 1);
}

/// Whatever is mounted of keys is a Secret that the job makes, under the name that it makes it under.
#[test]
fn what_the_job_makes_is_what_is_mounted() {
    let Some(tools) = Tools::find() else { return };
    let objects = tools.render("default", &[]);
    let job = objects.pod("init");
    let arguments: Vec<_> =
        job.containers().flat_map(|container| items(&container["args"])).map(text).collect();
    assert_eq!(arguments, ["init", "--kubernetes", "--release", "mh-manyhands", "--namespace", "agents"]);
    let mut mounted = BTreeSet::new();
    for pod in objects.pods().iter().filter(|pod| pod.name != "Pod mh-manyhands-test") {
        let mounts: Vec<_> =
            pod.containers().flat_map(|container| items(&container["volumeMounts"])).collect();
        for volume in items(&pod.spec["volumes"]) {
            let own = volume.get("secret").map(|secret| (&secret["secretName"], &secret["items"]));
            let projected = items(&volume["projected"]["sources"]).filter_map(|source| source.get("secret"));
            let at = mounts
                .iter()
                .find(|mount| mount["name"] == volume["name"])
                .map(|mount| text(&mount["mountPath"]));
            for (name, files) in
                own.into_iter().chain(projected.map(|secret| (&secret["name"], &secret["items"])))
            {
                let file = |file: &Value| {
                    format!(
                        "{}/{} as {}/{}",
                        text(name),
                        text(&file["key"]),
                        at.unwrap(),
                        text(&file["path"])
                    )
                };
                mounted.extend(items(files).map(file));
            }
        }
    }
    // As the folders below OH_KEYS_DIR are, and as nats.conf includes it.
    let wanted = [
        "mh-manyhands-gateway/credentials.json as /keys/gateway/credentials.json",
        "mh-manyhands-gateway/secret_key as /keys/gateway/secret_key",
        "mh-manyhands-gateway/session_key as /keys/gateway/session_key",
        "mh-manyhands-nats/auth.conf as /etc/nats/auth/auth.conf",
        "mh-manyhands-supervisor/credentials.json as /keys/supervisor/credentials.json",
        "mh-manyhands-supervisor/minter.json as /keys/supervisor/minter.json",
    ];
    assert_eq!(mounted, wanted.map(str::to_owned).into());
}

#[test]
fn hooks_come_before_the_release_in_their_order_and_leave_nothing() {
    let Some(tools) = Tools::find() else { return };
    let objects = tools.render("default", &[]);
    let annotation = |object: &Value, name: &str| {
        text(&object["metadata"]["annotations"][format!("helm.sh/{name}")]).to_owned()
    };
    let mut kinds = Vec::new();
    for object in objects.0.iter().filter(|object| !annotation(object, "hook").is_empty()) {
        assert_eq!(
            annotation(object, "hook-delete-policy"),
            "before-hook-creation,hook-succeeded",
            "{:?}",
            key(object)
        );
        if annotation(object, "hook") == "pre-install,pre-upgrade" {
            kinds.push((annotation(object, "hook-weight").parse::<i32>().unwrap(), text(&object["kind"])));
        } else {
            assert_eq!(annotation(object, "hook"), "test");
        }
    }
    kinds.sort_unstable();
    let job = kinds.pop().unwrap();
    assert_eq!(job, (0, "Job"));
    let before: BTreeSet<_> = kinds.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(before, BTreeSet::from(["NetworkPolicy", "Role", "RoleBinding", "ServiceAccount"]));
    assert!(kinds.iter().all(|(weight, _)| *weight < 0));
}

#[test]
fn given_secrets_are_used_as_they_are_and_nothing_is_made() {
    let Some(tools) = Tools::find() else { return };
    let objects = tools.render("adversarial", &[]);
    assert_eq!(objects.of("Job").count() + objects.of("StatefulSet").count(), 0);
    let keys = &items(&objects.pod("gateway").spec["volumes"])
        .find(|volume| volume["name"] == "keys")
        .unwrap()["secret"];
    assert_eq!(keys["secretName"], "given-gateway");
    let taken: Vec<_> = items(&keys["items"]).map(|item| (text(&item["key"]), text(&item["path"]))).collect();
    assert_eq!(
        taken,
        [
            ("credentials.json", "credentials.json"),
            ("secret-key", "secret_key"),
            ("Session.Key", "session_key")
        ]
    );
}
