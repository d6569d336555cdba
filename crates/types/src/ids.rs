//! Identifiers. Parsed once at the edge; inside, the type says which id it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A conversation. Dashed in bodies, 32 hexadecimal digits in cursors and on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct ConversationId(pub Uuid);

impl ConversationId {
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// 32 hexadecimal digits without dashes: the form of cursors, subjects and folders.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.simple().to_string()
    }
}

/// One of the conversations that have an id one after the other: that of a deleted one can be used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub id: ConversationId,
    /// Empty: whichever has the id.
    pub created_at: String,
}

impl Life {
    #[must_use]
    pub fn whichever(id: ConversationId) -> Self {
        Self { id, created_at: String::new() }
    }

    /// Whether they are not known to be two.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        let is_known = !self.created_at.is_empty() && !other.created_at.is_empty();
        self.id == other.id && (!is_known || self.created_at == other.created_at)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ConversationId {
    type Err = uuid::Error;

    /// Accepts dashes, none, braces, and upper case, as the peer does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// An event: any text a log may hold; new ones are UUID version 4, dashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct EventId(pub String);

impl EventId {
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4().hyphenated().to_string())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for EventId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A logical workspace with its own file system: the unit of placement and of trust.
/// A subject token: ASCII letters, digits, `_` and `-` only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SandboxId(String);

impl SandboxId {
    /// The one sandbox of a tenant under the `shared` policy, and the only one of embedded mode.
    #[must_use]
    pub fn shared() -> Self {
        Self("default".to_owned())
    }

    /// 16 hexadecimal digits.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:016x}", Uuid::new_v4().as_u64_pair().0))
    }

    /// `None` unless `name` is 1 to 64 ASCII letters, digits, `_` or `-`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        fits.then(|| Self(name.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&TenantId> for SandboxId {
    /// The sandbox that has a tenant's name: both are made of the same letters.
    fn from(tenant: &TenantId) -> Self {
        Self(tenant.0.clone())
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose data it is. A subject token, as [`SandboxId`]; servers without tenants have one, `default`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// `None` unless `name` is 1 to 64 ASCII letters, digits, `_` or `-`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        SandboxId::parse(name).map(|SandboxId(name)| Self(name))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TenantId {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name).ok_or("a tenant is 1 to 64 ASCII letters, digits, '_' or '-'")
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

/// A position in a log: opaque, increasing, not dense. `ZERO` stands before the first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    pub const ZERO: Self = Self(0);
}

/// The fencing token of a sandbox's incarnation: one more each time it is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Of who writes a log before there can be a worker for it: the first worker's is 1.
    pub const BEFORE_ALL_WORKERS: Self = Self(0);
}
