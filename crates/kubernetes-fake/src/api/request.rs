//! A request, and what its path names.

use bytes::Bytes;
use serde_json::Value;

use super::protobuf;
use crate::cluster::{Cluster, User};
use crate::kinds::Kind;
use crate::rbac::Access;
use crate::status::Status;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub content_type: String,
    pub agent: String,
    pub body: Bytes,
    pub user: User,
}

impl Request {
    pub fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub fn says(&self, name: &str) -> bool {
        matches!(self.query(name), "1" | "true" | "True" | "t")
    }

    pub fn seconds(&self, name: &str) -> Option<u64> {
        self.query(name).parse().ok()
    }

    /// Who is said to change fields.
    pub fn manager(&self) -> String {
        let said = self.query("fieldManager");
        let agent = self.agent.split(['/', ' ']).next().unwrap_or_default();
        let name = if said.is_empty() { agent } else { said };
        if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
    }

    /// An object that is to be stored.
    ///
    /// # Errors
    /// 415 and 400.
    pub fn json(&self) -> Result<Value, Status> {
        let kind = self.content_type.split(';').next().unwrap_or_default().trim();
        let unknown = Status::unsupported_media_type;
        match kind {
            "application/json" | "application/yaml" | "" => parse(&self.body),
            protobuf::TYPE => protobuf::object(&self.body).ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }

    /// Options of a deletion, in the body or the query.
    pub fn options(&self) -> Value {
        let json = serde_json::from_slice(&self.body).ok();
        json.or_else(|| protobuf::object(&self.body)).unwrap_or(Value::Null)
    }
}

pub fn parse(body: &[u8]) -> Result<Value, Status> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!("the object provided is unrecognized (must be of type Object): {error}"))
    })?;
    if value.is_object() { Ok(value) } else { Err(Status::bad_request("the object provided is no object")) }
}

/// What a request is about.
#[derive(Clone, Debug)]
pub struct Target {
    pub verb: &'static str,
    pub kind: Kind,
    /// Empty: of the cluster, or of all namespaces.
    pub namespace: String,
    /// Empty: all.
    pub name: String,
    /// Sub-resource.
    pub sub: String,
}

impl Target {
    /// # Errors
    /// 404 where there is no such thing.
    pub fn of(cluster: &Cluster, request: &Request) -> Result<Self, Status> {
        let parts: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match *parts.as_slice() {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return Err(Status::no_such_path()),
        };
        let find = |plural: &str| {
            let found =
                cluster.kinds.iter().find(|kind| kind.is_of(group, plural) && kind.version == version);
            found.copied().ok_or_else(Status::no_such_path)
        };
        let (namespace, kind, rest) = match *rest {
            ["namespaces", namespace, plural, ref rest @ ..]
                if !(group.is_empty() && ["status", "finalize"].contains(&plural)) =>
            {
                let kind = find(plural)?;
                if !kind.namespaced {
                    return Err(Status::no_such_path());
                }
                (namespace, kind, rest)
            }
            [plural, ref rest @ ..] => ("", find(plural)?, rest),
            [] => return Err(Status::no_such_path()),
        };
        let (name, sub) = match *rest {
            [] => ("", ""),
            [name] => (name, ""),
            [name, sub] => (name, sub),
            _ => return Err(Status::no_such_path()),
        };
        if kind.namespaced && namespace.is_empty() && !name.is_empty() {
            return Err(Status::no_such_path());
        }
        let target = Self {
            verb: verb(request, name)?,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            sub: sub.to_owned(),
        };
        if kind.namespaced && namespace.is_empty() && target.verb == "create" {
            return Err(Status::method_not_allowed());
        }
        if sub == "status" && !kind.has_status {
            return Err(Status::no_such_path());
        }
        Ok(target)
    }

    /// `pods`, `pods/attach`.
    pub fn resource(&self) -> String {
        if self.sub.is_empty() {
            self.kind.plural.to_owned()
        } else {
            format!("{}/{}", self.kind.plural, self.sub)
        }
    }

    pub fn access(&self) -> Access {
        Access {
            verb: self.verb.to_owned(),
            group: self.kind.group.to_owned(),
            resource: self.kind.plural.to_owned(),
            sub: self.sub.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

fn verb(request: &Request, name: &str) -> Result<&'static str, Status> {
    let watches = request.says("watch");
    Ok(match (request.method.as_str(), name.is_empty()) {
        ("GET" | "HEAD", false) if watches => "watch",
        ("GET" | "HEAD", false) => "get",
        ("GET" | "HEAD", true) if watches => "watch",
        ("GET" | "HEAD", true) => "list",
        ("POST", _) => "create",
        ("PUT", false) => "update",
        ("PATCH", false) => "patch",
        ("DELETE", false) => "delete",
        ("DELETE", true) => "deletecollection",
        _ => return Err(Status::method_not_allowed()),
    })
}
