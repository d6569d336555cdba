//! Who calls, and what they may do.

use std::time::SystemTime;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, Deserializer};
use types::TenantId;

use crate::error::ApiError;

/// Who calls. The guards put it into a request; extracting it on a route without one is a defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose data is meant: nothing of another tenant is ever found.
    pub tenant: TenantId,
    pub rights: Rights,
    /// What tells the credential from others, where it is a key or token; see [`crate::rates`].
    pub key: Option<u64>,
    /// When the credential stops to count; `None`: never.
    pub until: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To look: nothing changes by it.
    Read,
    /// To act on conversations and workspaces.
    Write,
    /// To administer the server: to see what it counts. It includes no other right.
    Admin,
}

/// A set of [`Right`]s. In a token: their names, in a list or parted by spaces; others are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Caller {
    /// Who has a session key, or reaches a server without any.
    #[must_use]
    pub fn operator() -> Self {
        let rights = [Right::Read, Right::Write, Right::Admin].into_iter().collect();
        Self { tenant: TenantId::default(), rights, key: None, until: None }
    }

    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.0 & right.bit() != 0
    }

    /// Waits until the credential stops to count.
    pub async fn expired(&self) {
        match self.until {
            Some(until) => {
                tokio::time::sleep(until.duration_since(SystemTime::now()).unwrap_or_default()).await
            }
            None => std::future::pending().await,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let unguarded = || ApiError::internal("a route that nothing guards asks who calls");
        parts.extensions.get::<Self>().cloned().ok_or_else(unguarded)
    }
}

impl Right {
    fn bit(self) -> u8 {
        1 << self as u8
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |bits, right| bits | right.bit()))
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Names {
            Text(String),
            List(Vec<String>),
        }
        Ok(match Names::deserialize(deserializer)? {
            Names::Text(text) => text.split(' ').filter_map(Right::named).collect(),
            Names::List(names) => names.iter().filter_map(|name| Right::named(name)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_come_as_a_text_or_a_list() {
        let rights = |json: &str| serde_json::from_str::<Rights>(json).unwrap();
        let both: Rights = [Right::Read, Right::Write].into_iter().collect();
        assert_eq!(rights(r#""write  read openid""#), both);
        assert_eq!(rights(r#"["read","write","read write admin"]"#), both);
        assert_eq!(rights(r#""READ,admin""#), Rights::default());
        assert!(serde_json::from_str::<Rights>("7").is_err());
    }

    #[test]
    fn to_administer_is_not_to_read() {
        let caller = Caller { rights: [Right::Admin].into_iter().collect(), ..Caller::operator() };
        assert!(caller.may(Right::Admin) && !caller.may(Right::Read) && !caller.may(Right::Write));
    }
}
