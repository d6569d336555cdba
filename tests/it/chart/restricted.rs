//! Every pod keeps to the profile *restricted* of Kubernetes' Pod Security Standards, and to more.

use kubernetes_fake::security::{Level, violations};

use super::{Pod, SETS, Tools, items, text};

/// What the chart promises beyond the profile.
fn shortcomings(pod: &Pod<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{}: {what}", pod.name));
        }
    };
    check(pod.spec["enableServiceLinks"] == false, "enableServiceLinks");
    check(!text(&pod.spec["serviceAccountName"]).is_empty(), "has the namespace's own service account");
    for container in pod.containers() {
        check(container["securityContext"]["readOnlyRootFilesystem"] == true, "may write its root");
        for bound in ["memory", "ephemeral-storage"] {
            check(!container["resources"]["limits"][bound].is_null(), bound);
        }
        for asked in ["cpu", "memory", "ephemeral-storage"] {
            check(!container["resources"]["requests"][asked].is_null(), asked);
        }
        check(text(&container["image"]).contains([':', '@']), "an image without a version");
    }
    for volume in items(&pod.spec["volumes"]).filter_map(|volume| volume.get("emptyDir")) {
        check(!volume["sizeLimit"].is_null(), "an emptyDir without an end");
    }
    found
}

#[test]
fn every_pod_is_restricted_whatever_the_values_are() {
    let Some(tools) = Tools::find() else { return };
    for set in SETS {
        let objects = tools.render(set, &[]);
        let pods = objects.pods();
        assert!(pods.len() >= 3, "{set}: {}", pods.len());
        for pod in pods {
            assert_eq!(violations(Level::Restricted, pod.whole), Vec::new(), "{set}: {}", pod.name);
            assert_eq!(shortcomings(&pod), Vec::<String>::new(), "{set}");
        }
    }
    // Where the platform gives users.
    let nobody = ["--set", "podSecurity.runAsUser=null,nats.podSecurity.runAsUser=null"];
    for pod in tools.render("default", &nobody).pods() {
        assert_eq!(violations(Level::Restricted, pod.whole), Vec::new(), "{}", pod.name);
        assert!(pod.spec["securityContext"]["runAsUser"].is_null());
    }
}

#[test]
fn a_namespace_that_the_chart_makes_takes_the_pods_that_the_supervisor_makes() {
    let Some(tools) = Tools::find() else { return };
    for (set, profile) in [("production", "restricted"), ("gvisor", "baseline")] {
        let objects = tools.render(set, &[]);
        let supervisor = objects.pod("supervisor");
        let mut env = supervisor.containers().flat_map(|container| items(&container["env"]));
        let told = env.find(|one| one["name"] == "OH_KUBERNETES_PROFILE").unwrap();
        assert_eq!(told["value"], profile);
        let labels = &objects.of("Namespace").next().unwrap()["metadata"]["labels"];
        for mode in ["enforce", "audit", "warn"] {
            assert_eq!(labels[format!("pod-security.kubernetes.io/{mode}")], profile, "{set}");
        }
    }
}
