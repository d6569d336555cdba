//! What a pod is, and what its description does not say.

use std::time::Duration;

use kubernetes::types::ConfigMap;
use kubernetes_fake::security::{Level, violations};
use kubernetes_fake::{Look, Settings};
use manyhands_supervisor::Driver;
use manyhands_supervisor::drivers::kubernetes::{Config, Handover, Profile, Toleration};
use serde_json::Value;

use super::suite::{Place, launch};
use super::world::{NAMESPACE, World, world, world_with};

const SLEEPS: &str = "read -r spec; exec sleep 1000";

async fn made(change: impl FnOnce(&mut Config)) -> (World, Value) {
    let settings = Settings { storage_classes: vec!["standard", "fast"], ..Settings::default() };
    let world = world_with(SLEEPS, settings, change).await;
    world.driver.start(&launch("a_B", 3)).await.unwrap();
    let pod = world.pod().as_ref().clone();
    (world, pod)
}

#[tokio::test]
async fn a_pod_is_restricted_and_has_nothing_of_the_api_and_no_names() {
    for handover in [Handover::Attach, Handover::Secret] {
        let (_world, pod) = made(|config| config.handover = handover).await;
        assert_eq!(violations(Level::Restricted, &pod), []);
        let spec = &pod["spec"];
        assert_eq!(
            (&spec["automountServiceAccountToken"], &spec["enableServiceLinks"]),
            (&false.into(), &false.into())
        );
        assert_eq!((&spec["restartPolicy"], &spec["dnsPolicy"]), (&"Never".into(), &"None".into()));
        assert_eq!(spec["dnsConfig"]["nameservers"], serde_json::json!(["127.0.0.1"]));
        assert_eq!(spec["hostAliases"][0]["hostnames"][0], "localhost");
        for container in spec.list("/containers").iter().chain(spec.list("/initContainers")) {
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            for kind in ["requests", "limits"] {
                for amount in ["cpu", "memory", "ephemeral-storage"] {
                    assert!(container["resources"][kind][amount].is_string(), "{kind} {amount}");
                }
            }
            assert!(container.list("/env").iter().all(|variable| variable["name"] == "HOME"));
        }
        let program =
            spec.list("/containers/0/volumeMounts").iter().find(|mount| mount["mountPath"] == "/manyhands");
        assert_eq!(program.unwrap()["readOnly"], true);
    }
}

#[tokio::test]
async fn where_commands_have_a_user_of_their_own_a_pod_is_still_within_the_baseline() {
    let world = world_with(SLEEPS, Settings::default(), |config| config.profile = Profile::Baseline).await;
    let refused = world.driver.start(&launch("a", 1)).await.unwrap_err().to_string();
    assert_eq!(refused, "The cluster's rules of pod security do not allow the sandbox.");
    world.server.change(("", "namespaces"), "", NAMESPACE, |namespace| {
        namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline".into();
    });
    world.driver.start(&launch("a", 1)).await.unwrap();
    let pod = world.pod();
    assert_eq!(violations(Level::Baseline, &pod), []);
    let context = &pod["spec"]["containers"][0]["securityContext"];
    assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(context["capabilities"]["add"].as_array().unwrap().len(), 6);
    assert_eq!(context["allowPrivilegeEscalation"], false);
}

#[tokio::test]
async fn a_pod_is_found_by_its_names_and_belongs_to_the_anchor() {
    let (world, pod) = made(|_| {}).await;
    let meta = &pod["metadata"];
    let name = meta["name"].as_str().unwrap();
    assert!(name.starts_with("mh-test-") && name.ends_with("-3"), "{name}");
    let labels = &meta["labels"];
    assert_eq!(
        (&labels["app.kubernetes.io/component"], &labels["manyhands.io/epoch"]),
        (&"worker".into(), &"3".into())
    );
    assert_eq!(meta["annotations"]["manyhands.io/sandbox-id"], "a_B");
    let anchor = world.server.object(("", "configmaps"), NAMESPACE, "mh-sandboxes").unwrap();
    assert_eq!(meta["ownerReferences"][0]["uid"], anchor["metadata"]["uid"]);
    let claim = name.strip_suffix("-3").unwrap();
    let claim = world.server.object(("", "persistentvolumeclaims"), NAMESPACE, claim).unwrap();
    assert!(claim["metadata"]["ownerReferences"].is_null(), "files belong to nobody");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "10240Mi");
}

#[tokio::test]
async fn what_is_set_for_all_pods_stands_on_each() {
    let (world, pod) = made(|config| {
        config.volume.storage_class = Some("fast".to_owned());
        config.volume.mebibytes = 100;
        config.volume.access_mode = "ReadWriteOncePod".to_owned();
        config.pull_secrets = vec!["registry".to_owned()];
        config.tolerations = vec![Toleration { key: Some("agents".to_owned()), ..Toleration::default() }];
        config.resources.memory_mib = 64;
        config.resources.cpus = 0.5;
    })
    .await;
    let spec = &pod["spec"];
    assert_eq!(spec["imagePullSecrets"][0]["name"], "registry");
    assert_eq!(spec["tolerations"][0]["key"], "agents");
    let limits = &spec["containers"][0]["resources"]["limits"];
    assert_eq!((&limits["memory"], &limits["cpu"]), (&"64Mi".into(), &"500m".into()));
    let claims = world.server.objects(("", "persistentvolumeclaims"), NAMESPACE);
    assert_eq!(claims[0]["spec"]["storageClassName"], "fast");
    assert_eq!(claims[0]["spec"]["accessModes"][0], "ReadWriteOncePod");
}

#[tokio::test]
async fn credentials_stand_in_no_description() {
    let world = world("read -r spec; echo up; exec sleep 1000").await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
    for kind in [("", "pods"), ("", "persistentvolumeclaims"), ("", "events"), ("", "secrets")] {
        for object in world.server.objects(kind, NAMESPACE) {
            assert!(!object.to_string().contains("canary"), "{object}");
        }
    }
}

#[tokio::test]
async fn all_pods_end_with_the_anchor_and_files_do_not() {
    let empty = world(SLEEPS).await;
    assert!(empty.driver.has_no_files().await);
    let (world, _) = made(|_| {}).await;
    world.run(&launch("b", 1)).await;
    world.operator().await.objects::<ConfigMap>().delete("mh-sandboxes", None, None).await.unwrap();
    world.until(async || world.pods() == 0).await;
    assert_eq!(world.volumes().await, 2);
    assert!(!world.driver.has_no_files().await);
    let refused = world.driver.start(&launch("a_B", 4)).await;
    assert!(matches!(refused, Err(manyhands_supervisor::StartError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn the_end_of_a_pod_that_only_has_the_same_name_is_not_asked_for() {
    let (world, _) = made(|_| {}).await;
    let name = world.name();
    world.server.change(("", "pods"), NAMESPACE, &name, |pod| {
        pod["metadata"]["annotations"]["manyhands.io/cluster-name"] = "another".into();
    });
    assert_eq!(world.driver.list().await.unwrap(), []);
    world.driver.stop(&launch("a_B", 3).instance, Duration::ZERO).await.unwrap();
    assert_eq!(world.pods(), 1);
    let refused = world.driver.start(&launch("a_B", 3)).await;
    assert!(matches!(refused, Err(manyhands_supervisor::StartError::Unavailable(_))), "{refused:?}");
}
