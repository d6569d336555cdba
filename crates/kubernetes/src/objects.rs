//! The objects of one kind in a namespace.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ObjectMeta, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::watch::Watch;
use crate::{Client, Error, Result};

/// So many of a list come at a time.
const PAGE: u32 = 500;
/// How often a list begins anew whose next page the server has forgotten.
const MOST_LISTINGS: usize = 3;

/// How long an object has been there, by the server's clock and by this one's.
#[must_use]
pub fn age(meta: &ObjectMeta) -> Duration {
    let made = meta.creation_timestamp.as_ref().map_or(i64::MAX, |at| at.0.as_second());
    Duration::from_secs(u64::try_from(Timestamp::now().as_second().saturating_sub(made)).unwrap_or_default())
}

/// A kind of objects that are in namespaces.
pub trait Object:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

pub struct Objects<K> {
    pub(crate) client: Client,
    pub(crate) api: Api<K>,
}

/// What there was at one time.
#[derive(Clone, Debug)]
pub struct Listed<K> {
    pub items: Vec<K>,
    /// What a [`Watch`] of all later changes begins with.
    pub version: String,
}

impl<K: Object> Objects<K> {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), api: Api::namespaced(client.inner.clone(), &client.namespace) }
    }

    /// # Errors
    /// `Unavailable`, `Forbidden`.
    pub async fn find(&self, name: &str) -> Result<Option<K>> {
        self.client.answer(self.api.get_opt(name)).await
    }

    /// The newest state of all that have these labels: `a=b,c=d`.
    ///
    /// # Errors
    /// `Unavailable`, `Forbidden`; `Expired` when the server forgets faster than it lists.
    pub async fn list(&self, labels: &str) -> Result<Listed<K>> {
        self.list_in_pages(ListParams::default().labels(labels), |item| item).await
    }

    /// What `keep` makes of each of them. Of the objects themselves there is never more than a page.
    ///
    /// # Errors
    /// As [`Objects::list`].
    pub async fn list_as<T>(&self, labels: &str, keep: impl Fn(K) -> T) -> Result<Vec<T>> {
        Ok(self.list_in_pages(ListParams::default().labels(labels), keep).await?.items)
    }

    /// The same of those whose fields are so: `a=b,c=d`.
    ///
    /// # Errors
    /// As [`Objects::list`].
    pub async fn list_by_fields<T>(&self, fields: &str, keep: impl Fn(K) -> T) -> Result<Vec<T>> {
        Ok(self.list_in_pages(ListParams::default().fields(fields), keep).await?.items)
    }

    /// Of labels that few have. Asked for a page, a server reads all that is stored until it has found as many as fit;
    /// asked for all, it has them in memory.
    ///
    /// # Errors
    /// `Unavailable`, `Forbidden`.
    pub async fn list_few(&self, labels: &str) -> Result<Vec<K>> {
        let params = ListParams::default().labels(labels);
        Ok(self.client.answer(self.api.list(&params)).await?.items)
    }

    async fn list_in_pages<T>(&self, params: ListParams, keep: impl Fn(K) -> T) -> Result<Listed<T>> {
        let params = params.limit(PAGE);
        let mut expired = Error::Expired(String::new());
        for _ in 0..MOST_LISTINGS {
            match self.list_once(params.clone(), &keep).await {
                Err(error @ Error::Expired(_)) => expired = error,
                other => return other,
            }
        }
        Err(expired)
    }

    async fn list_once<T>(&self, mut params: ListParams, keep: impl Fn(K) -> T) -> Result<Listed<T>> {
        let mut items = Vec::new();
        loop {
            let page = self.client.answer(self.api.list(&params)).await?;
            items.extend(page.items.into_iter().map(&keep));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    return Ok(Listed { items, version: page.metadata.resource_version.unwrap_or_default() });
                }
            }
        }
    }

    /// Whether there is one that has these labels.
    ///
    /// # Errors
    /// `Unavailable`, `Forbidden`.
    pub async fn is_there_any(&self, labels: &str) -> Result<bool> {
        let params = ListParams::default().labels(labels).limit(1);
        Ok(!self.client.answer(self.api.list(&params)).await?.items.is_empty())
    }

    /// Where a [`Watch`] of all changes from now on begins, of those that have these labels.
    ///
    /// # Errors
    /// `Unavailable`, `Forbidden`.
    pub async fn version(&self, labels: &str) -> Result<String> {
        let params = ListParams::default().labels(labels).limit(1);
        let page = self.client.answer(self.api.list(&params)).await?;
        Ok(page.metadata.resource_version.unwrap_or_default())
    }

    /// # Errors
    /// `AlreadyExists`, `Forbidden`, `Invalid`, `Unavailable`.
    pub async fn create(&self, object: &K) -> Result<K> {
        self.client.answer(self.api.create(&PostParams::default(), object)).await
    }

    /// What [`Objects::create`] would say; nothing is made.
    ///
    /// # Errors
    /// As [`Objects::create`].
    pub async fn try_create(&self, object: &K) -> Result<()> {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        self.client.answer(self.api.create(&params, object)).await.map(drop)
    }

    /// Makes it so, whoever has set its fields before; other fields are left alone.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Unavailable`.
    pub async fn apply(&self, manager: &str, object: &K) -> Result<K> {
        let name = object.meta().name.clone().unwrap_or_default();
        let mut value = serde_json::to_value(object).map_err(|error| Error::Other(error.to_string()))?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Value::from(K::api_version(&())));
            fields.insert("kind".to_owned(), Value::from(K::kind(&())));
        }
        let params = PatchParams::apply(manager).force();
        self.client.answer(self.api.patch(&name, &params, &Patch::Apply(&value))).await
    }

    /// Changes the fields of `patch`: a JSON merge patch.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Invalid`, `Unavailable`.
    pub async fn merge(&self, name: &str, patch: &Value) -> Result<K> {
        let params = PatchParams::default();
        self.client.answer(self.api.patch(name, &params, &Patch::Merge(patch))).await
    }

    /// Asks for its end, after `grace` seconds if it is one that can be given time. With `uid` only if it is that one.
    /// Whether it is gone; else it goes as soon as it can.
    ///
    /// # Errors
    /// `Conflict`, if it is another one; `Forbidden`, `Unavailable`.
    pub async fn delete(&self, name: &str, uid: Option<&str>, grace: Option<u32>) -> Result<bool> {
        let mut params = DeleteParams::background();
        params.grace_period_seconds = grace;
        params.preconditions =
            uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        match self.client.answer(self.api.delete(name, &params)).await {
            Ok(deleted) => Ok(deleted.is_right()),
            Err(Error::NotFound(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What happens after `version` to those that have these labels, for so many seconds at most.
    ///
    /// # Errors
    /// `Expired`, `Unavailable`, `Forbidden`.
    pub async fn watch(&self, labels: &str, version: &str, seconds: u32) -> Result<Watch> {
        Watch::open(self, labels, version, seconds).await
    }
}
