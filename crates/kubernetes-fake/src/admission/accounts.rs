//! A pod's service account: it must be there, and its token comes into the pod unless somebody says no.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Key, State};
use crate::status::Status;
use crate::value::{Look, object, set};

const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub fn admit(state: &State, cluster: &Cluster, pod: &mut Value) -> Result<(), Status> {
    let (namespace, name) =
        (pod.text("/metadata/namespace").to_owned(), pod.text("/spec/serviceAccountName").to_owned());
    let accounts = cluster.kind("", "serviceaccounts");
    let Some(account) = state.get(&Key::new(&accounts, &namespace, &name)) else {
        let why =
            format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        return Err(Status::forbidden(&cluster.kind("", "pods"), pod.text("/metadata/name"), &why));
    };
    if pod.list("/spec/imagePullSecrets").is_empty() && !account.list("/imagePullSecrets").is_empty() {
        set(pod, &["spec", "imagePullSecrets"], account["imagePullSecrets"].clone());
    }
    let said = pod.at("/spec/automountServiceAccountToken");
    let said = if said.is_null() { account.at("/automountServiceAccountToken") } else { said };
    if *said == false {
        return Ok(());
    }
    let volume =
        format!("kube-api-access-{}", uuid::Uuid::new_v4().simple().to_string().get(..5).unwrap_or("token"));
    let volumes = object(pod, &["spec"]).entry("volumes").or_insert_with(|| json!([]));
    if let Some(volumes) = volumes.as_array_mut() {
        volumes.push(json!({ "name": volume, "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        ] } }));
    }
    for list in ["containers", "initContainers"] {
        let containers = object(pod, &["spec"]).get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mounts = object(container, &[]).entry("volumeMounts").or_insert_with(|| json!([]));
            if let Some(mounts) = mounts.as_array_mut()
                && !mounts.iter().any(|mount| mount["mountPath"] == MOUNTED)
            {
                mounts.push(json!({ "name": volume, "mountPath": MOUNTED, "readOnly": true }));
            }
        }
    }
    Ok(())
}
