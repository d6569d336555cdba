//! The policy that holds the supervisor to pods of a sandbox's shape asks all of it, of every container.

use serde_json::Value;

use super::{Tools, items, text};

/// What would make of a pod more than a sandbox.
const ASKED: [&str; 17] = [
    "object.spec.?serviceAccountName",
    "object.spec.?automountServiceAccountToken",
    "object.spec.?hostNetwork",
    "object.spec.?hostPID",
    "object.spec.?hostIPC",
    "?hostPort",
    "object.spec.?volumes",
    "claimName.startsWith('mh-mh-manyhands-')",
    "e.valueFrom",
    "c.envFrom",
    "?privileged",
    "?allowPrivilegeEscalation",
    "?capabilities.?add",
    "?procMount",
    "?seccompProfile",
    "c.lifecycle",
    "object.spec.nodeName",
];

fn expressions(policy: &Value) -> Vec<&str> {
    items(&policy["spec"]["validations"]).map(|one| text(&one["expression"])).collect()
}

#[test]
fn nothing_that_is_more_than_a_sandbox_is_left_out_and_no_container_is() {
    let Some(tools) = Tools::find() else { return };
    for (set, capabilities) in [("production", 0), ("gvisor", 6)] {
        let objects = tools.render(set, &[]);
        let policy = objects.of("ValidatingAdmissionPolicy").next().unwrap();
        let asked = expressions(policy);
        for what in ASKED {
            assert!(asked.iter().any(|expression| expression.contains(what)), "{set}: {what}");
        }
        // Those that come first run as well.
        let all = text(&policy["spec"]["variables"][0]["expression"]);
        assert!(all.contains("object.spec.containers") && all.contains("initContainers"), "{set}: {all}");
        assert!(!asked.iter().any(|expression| expression.contains("object.spec.containers")), "{set}");
        let added = asked.iter().find(|expression| expression.contains("capabilities")).unwrap();
        let (_, given) = added.split_once("a in [").unwrap();
        let given = given.split_once(']').unwrap().0;
        assert_eq!(given.split(',').filter(|name| !name.trim().is_empty()).count(), capabilities, "{set}");
        let rules = &policy["spec"]["matchConstraints"]["resourceRules"][0];
        assert_eq!(rules["operations"], serde_json::json!(["CREATE", "UPDATE"]), "{set}");
    }
}
