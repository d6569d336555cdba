//! What a request does: the path says to what, the method what.

pub mod create;
pub mod delete;
mod protobuf;
pub mod read;
pub mod request;
pub mod review;
pub mod update;
pub mod watch;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Key};
use crate::discovery;
use crate::rbac;
use crate::reply::Reply;
use crate::status::Status;
pub use request::{Request, Target};

/// # Errors
/// What the real server would answer.
pub fn handle(cluster: &Arc<Cluster>, request: &Request) -> Result<Reply, Status> {
    if let Some(found) = discovery::answer(cluster, &request.path) {
        return Ok(found);
    }
    if let Some(review) = review::kind_of(&request.path) {
        return review::answer(cluster, request, review);
    }
    let target = Target::of(cluster, request)?;
    cluster.with(|state| rbac::check(state, &request.user, &target.access()))?;
    let trial = request.query("dryRun") == "All";
    match (target.verb, target.sub.as_str()) {
        ("get", "" | "status") => read::get(cluster, &target),
        ("list", "") => read::list(cluster, request, &target),
        ("watch", "") => watch::watch(cluster, request, &target),
        ("create", "") => {
            let object = request.json()?;
            let made =
                cluster.attempt(trial, |state| create::create(state, cluster, request, &target, object))?;
            Ok(Reply::Json(201, (*made).clone()))
        }
        ("create", "eviction") => delete::evict(cluster, request, &target),
        ("create", "binding") => update::bind(cluster, request, &target),
        ("update", "" | "status") => {
            let object = request.json()?;
            let made =
                cluster.attempt(trial, |state| update::replace(state, cluster, request, &target, object))?;
            Ok(Reply::ok(&made))
        }
        ("patch", "" | "status") => {
            let (is_new, made) =
                cluster.attempt(trial, |state| update::patch(state, cluster, request, &target))?;
            Ok(Reply::Json(if is_new { 201 } else { 200 }, (*made).clone()))
        }
        ("delete", "") => cluster.attempt(trial, |state| delete::one(state, request, &target)),
        ("deletecollection", "") => cluster.attempt(trial, |state| delete::all(state, request, &target)),
        ("get" | "update" | "patch", "scale") => update::scale(cluster, request, &target),
        _ => Err(Status::method_not_allowed()),
    }
}

/// What was done, where there is no object to show.
pub fn success(target: &Target, uid: &Value) -> Value {
    let mut details = json!({ "name": target.name, "kind": target.kind.plural, "uid": uid });
    if !target.kind.group.is_empty() {
        details["group"] = target.kind.group.into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

impl Target {
    pub fn key(&self) -> Key {
        Key::new(&self.kind, &self.namespace, &self.name)
    }
}
