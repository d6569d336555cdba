//! Questions that are asked by making an object: may I do this, and what may I do?

use serde_json::{Value, json};

use super::Request;
use crate::cluster::{Cluster, User};
use crate::rbac::{self, Access};
use crate::reply::Reply;
use crate::status::Status;
use crate::value::{Look, set};

#[derive(Clone, Copy, Debug)]
pub enum Review {
    OwnAccess,
    Access,
    OwnRules,
    Token,
}

pub fn kind_of(path: &str) -> Option<Review> {
    match path.trim_end_matches('/') {
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => Some(Review::OwnAccess),
        "/apis/authorization.k8s.io/v1/subjectaccessreviews" => Some(Review::Access),
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews" => Some(Review::OwnRules),
        "/apis/authentication.k8s.io/v1/tokenreviews" => Some(Review::Token),
        _ => None,
    }
}

pub fn answer(cluster: &Cluster, request: &Request, review: Review) -> Result<Reply, Status> {
    if request.method != "POST" {
        return Err(Status::method_not_allowed());
    }
    let mut object = request.json()?;
    if matches!(review, Review::Access | Review::Token) && !request.user.is_master() {
        let access =
            Access { verb: "create".to_owned(), resource: "reviews".to_owned(), ..Access::default() };
        cluster.with(|state| rbac::check(state, &request.user, &access))?;
    }
    let status = match review {
        Review::OwnAccess => access(cluster, &request.user, &object),
        Review::Access => {
            let groups =
                object.list("/spec/groups").iter().filter_map(Value::as_str).map(str::to_owned).collect();
            access(cluster, &User { name: object.text("/spec/user").to_owned(), groups }, &object)
        }
        Review::OwnRules => {
            let rules =
                cluster.with(|state| rbac::rules(state, &request.user, object.text("/spec/namespace")));
            json!({ "resourceRules": rules, "nonResourceRules": [], "incomplete": false })
        }
        Review::Token => {
            let user = cluster.tokens.lock().get(object.text("/spec/token")).cloned();
            match user {
                Some(user) => {
                    json!({ "authenticated": true, "user": { "username": user.name, "groups": user.groups } })
                }
                None => json!({ "authenticated": false }),
            }
        }
    };
    set(&mut object, &["status"], status);
    Ok(Reply::Json(201, object))
}

fn access(cluster: &Cluster, user: &User, object: &Value) -> Value {
    let of = |field: &str| object.text(&format!("/spec/resourceAttributes/{field}")).to_owned();
    let access = Access {
        verb: of("verb"),
        group: of("group"),
        resource: of("resource"),
        sub: of("subresource"),
        namespace: of("namespace"),
        name: of("name"),
    };
    let allowed = cluster.with(|state| rbac::may(state, user, &access));
    json!({ "allowed": allowed, "reason": if allowed { "RBAC: allowed by a binding" } else { "" } })
}
