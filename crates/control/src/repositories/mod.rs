//! The repositories that a tenant's token reaches at a provider, to choose from.

mod cursor;
mod github;

use secrecy::SecretString;
use types::TenantId;

use crate::Refusal;
use crate::ground::Ground;
use crate::tenant_secrets::TenantSecrets;
pub use cursor::Cursor;
use github::GitHub;

/// The names under which users keep their token, the first that is there counts.
const TOKENS: [&str; 4] = ["github_token", "GITHUB_TOKEN", "GH_TOKEN", "github"];

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// A part of the name, in any case.
    pub query: Option<String>,
    pub limit: usize,
    pub from: Cursor,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    pub id: String,
    pub full_name: String,
    pub is_public: bool,
    pub stars: Option<i64>,
    pub pushed_at: Option<String>,
    pub main_branch: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub items: Vec<Repository>,
    pub next: Option<Cursor>,
}

/// Repositories of providers, to choose from. Cheap to clone.
#[derive(Clone)]
pub struct Repositories {
    secrets: TenantSecrets,
    github: GitHub,
}

impl Repositories {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self {
            secrets: TenantSecrets::new(ground),
            github: GitHub::new(ground.outbound.clone(), ground.github_url.clone()),
        }
    }

    /// `None` where the tenant keeps no token.
    ///
    /// # Errors
    /// `Coded` where GitHub fails or refuses the token; those of the shelf.
    pub async fn search(&self, tenant: &TenantId, search: &Search) -> Result<Option<Page>, Refusal> {
        let Some(token) = self.token(tenant).await? else { return Ok(None) };
        self.github.search(&token, search).await.map(Some)
    }

    async fn token(&self, tenant: &TenantId) -> Result<Option<SecretString>, Refusal> {
        for name in TOKENS {
            match self.secrets.value(tenant, name).await {
                Ok(token) => return Ok(Some(token)),
                Err(Refusal::Missing(_)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(None)
    }
}
