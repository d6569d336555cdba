//! `LimitRange`: fills in what a container does not say, and bounds what it does.

use serde_json::Value;

use crate::cluster::{Cluster, State};
use crate::fields::quantity::milli;
use crate::status::Status;
use crate::value::{Look, default, object};

fn ranges(state: &State, cluster: &Cluster, pod: &Value) -> Vec<Value> {
    let all = state.of(&cluster.kind("", "limitranges"), pod.text("/metadata/namespace"));
    let limits = all.iter().flat_map(|(_, range)| range.list("/spec/limits").to_vec());
    limits.filter(|limit| limit["type"] == "Container").collect()
}

pub fn fill(state: &State, cluster: &Cluster, pod: &mut Value) -> Result<(), Status> {
    for range in ranges(state, cluster, pod) {
        for list in ["containers", "initContainers"] {
            let containers = object(pod, &["spec"]).get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                for (given, of) in [("defaultRequest", "requests"), ("default", "limits")] {
                    for (what, amount) in range[given].as_object().into_iter().flatten() {
                        default(container, &["resources", of, what], amount.clone());
                    }
                }
            }
        }
    }
    Ok(())
}

pub fn check(state: &State, cluster: &Cluster, pod: &Value) -> Result<(), Status> {
    let mut wrong = Vec::new();
    for range in ranges(state, cluster, pod) {
        for container in pod.list("/spec/containers").iter().chain(pod.list("/spec/initContainers")) {
            for (what, most) in range["max"].as_object().into_iter().flatten() {
                let limit = container.at(&format!("/resources/limits/{what}"));
                let most_ = most.as_str().unwrap_or_default();
                match (milli(limit), milli(most)) {
                    (None, _) => wrong.push(format!(
                        "maximum {what} usage per Container is {most_}.  No limit is specified"
                    )),
                    (Some(said), Some(bound)) if said > bound => {
                        let said = limit.as_str().unwrap_or_default();
                        wrong.push(format!(
                            "maximum {what} usage per Container is {most_}, but limit is {said}"
                        ));
                    }
                    _ => {}
                }
            }
            for (what, least) in range["min"].as_object().into_iter().flatten() {
                let request = container.at(&format!("/resources/requests/{what}"));
                let least_ = least.as_str().unwrap_or_default();
                match (milli(request), milli(least)) {
                    (None, _) => wrong.push(format!(
                        "minimum {what} usage per Container is {least_}.  No request is specified"
                    )),
                    (Some(said), Some(bound)) if said < bound => {
                        let said = request.as_str().unwrap_or_default();
                        wrong.push(format!(
                            "minimum {what} usage per Container is {least_}, but request is {said}"
                        ));
                    }
                    _ => {}
                }
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let why = if wrong.len() == 1 { wrong.concat() } else { format!("[{}]", wrong.join(", ")) };
    Err(Status::forbidden(&cluster.kind("", "pods"), pod.text("/metadata/name"), &why))
}
