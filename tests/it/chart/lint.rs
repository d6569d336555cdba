//! Helm has nothing to say about the chart, and two releases of it make the same.

use super::{CHART, Objects, SETS, Tools, files_of, template};

#[test]
fn helm_finds_nothing_wrong_with_any_set_of_values() {
    let Some(tools) = Tools::find() else { return };
    for helm in ["HELM", "HELM_3"] {
        for set in SETS {
            let linted =
                tools.command(helm).args(["lint", "--strict", CHART]).args(files_of(set)).output().unwrap();
            let said = String::from_utf8_lossy(&linted.stdout);
            assert!(linted.status.success(), "{helm} {set}: {said}");
            assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{helm} {set}: {said}");
        }
    }
}

/// The order of what has the same kind is each one's own.
#[test]
fn an_older_helm_makes_the_same_of_it() {
    let Some(tools) = Tools::find() else { return };
    for set in SETS {
        let older = tools.command("HELM_3").args(template(set)).output().unwrap();
        let older = tools.read(&String::from_utf8_lossy(&older.stdout));
        let key =
            |object: &serde_json::Value| (object["kind"].to_string(), object["metadata"]["name"].to_string());
        let sorted = |mut objects: Vec<_>| {
            objects.sort_by_key(key);
            objects
        };
        let Objects(newer) = tools.render(set, &[]);
        assert!(sorted(newer) == sorted(older), "{set}");
    }
}

#[test]
fn a_package_of_the_chart_holds_what_is_rendered_and_no_tests() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    super::told(tools.helm(&["package", CHART, "--destination", to]));
    let package = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let listed = std::process::Command::new("tar").arg("-tzf").arg(&package).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().any(|path| path == "manyhands/files/dashboards/manyhands.json"), "{listed}");
    assert!(!listed.contains("/ci/"), "{listed}");
}
