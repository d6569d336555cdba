//! Every object is one that Kubernetes takes, of the oldest release that the chart is for, of one between, and of the newest that its
//! schemas are known of.

use super::{Objects, SETS, Tools};

const RELEASES: [&str; 3] = ["1.30", "1.33", "1.37"];
/// Of operators that may be there: no schema of theirs is.
const OTHERS: [&str; 6] =
    ["Certificate", "CiliumNetworkPolicy", "HTTPRoute", "PodMonitor", "PrometheusRule", "ServiceMonitor"];

#[test]
fn every_object_is_one_that_three_releases_of_kubernetes_take() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for set in SETS {
        let Objects(objects) = tools.render(set, &["--is-upgrade"]);
        // As JSON, which YAML is: Kubernetes' own reader and Python's differ in what is a number.
        let kept = objects.iter().filter(|object| !OTHERS.contains(&super::text(&object["kind"])));
        let text: Vec<_> = kept.map(|object| format!("---\n{object}\n")).collect();
        assert!(text.len() > 20 || set == "adversarial", "{set}: {}", text.len());
        paths.push(folder.path().join(format!("{set}.yaml")));
        std::fs::write(paths.last().unwrap(), text.concat()).unwrap();
    }
    for release in RELEASES {
        let checked = tools
            .command("KUBERNETES_VALIDATE")
            .args(["--strict", "-k", release])
            .args(&paths)
            .output()
            .unwrap();
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(checked.status.success() && !said.contains("WARN"), "{release}: {said}");
    }
}
