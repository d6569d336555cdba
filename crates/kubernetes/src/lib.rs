//! The API of Kubernetes, for who works in one namespace: objects, watches, and a container's input and log.
//!
//! Nothing here tries anything twice, and everything has a deadline: an API server that is away is [`Error::Unavailable`]
//! after [`PATIENCE`] at the latest, and whoever asked knows best when to ask again.

mod access;
mod container;
mod error;
mod objects;
mod rights;
mod watch;

use std::time::Duration;

/// For one answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub use access::{Access, Client};
pub use container::Container;
pub use error::{Error, Result};
pub use objects::{Listed, Object, Objects, age};
pub use rights::Right;
pub use watch::{Event, Watch};

/// What the API's objects are made of.
pub mod types {
    pub use k8s_openapi::ByteString;
    pub use k8s_openapi::api::core::v1::*;
    pub use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
        Condition, LabelSelector, ObjectMeta, OwnerReference, Time,
    };
}
