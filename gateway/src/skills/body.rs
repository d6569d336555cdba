//! What clients say of the skills that they want to see.

use std::path::{Component, Path};

use control::extensions::{Exposed, SkillsWanted};
use serde::Deserialize;
use types::calls::{Marketplace, SkillSources};

use crate::error::{ApiResult, Problem};
use crate::extract::Object;

const MOST_REPOSITORIES: usize = 16;

#[derive(Deserialize, utoipa::ToSchema)]
pub struct SkillsRequest {
    #[serde(default = "yes")]
    load_public: bool,
    #[serde(default = "yes")]
    load_user: bool,
    #[serde(default = "yes")]
    load_project: bool,
    #[serde(default = "yes")]
    load_org: bool,
    /// The file of the public catalogue that names the public skills to load; null: all of them.
    #[serde(default = "default_marketplace")]
    marketplace_path: Option<String>,
    #[serde(default)]
    registered_marketplaces: Vec<Object<MarketplaceRegistration>>,
    /// The folder of the project.
    project_dir: Option<String>,
    /// Repositories of organizations.
    org_configs: Option<Vec<Object<OrgConfig>>>,
    sandbox_config: Option<Object<SandboxConfig>>,
}

/// A catalogue whose skills are loaded.
#[derive(Deserialize, utoipa::ToSchema)]
pub struct MarketplaceRegistration {
    name: String,
    source: String,
    r#ref: Option<String>,
    repo_path: Option<String>,
    #[serde(default)]
    auto_load: AutoLoad,
}

/// All, none, or some by their names.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum AutoLoad {
    All(bool),
    Some(Vec<String>),
}

impl Default for AutoLoad {
    fn default() -> Self {
        Self::All(false)
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct OrgConfig {
    #[expect(dead_code, reason = "clients must send it")]
    repository: String,
    #[expect(dead_code, reason = "clients must send it")]
    provider: String,
    /// May hold credentials.
    org_repo_url: String,
    #[expect(dead_code, reason = "clients must send it")]
    org_name: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct SandboxConfig {
    #[serde(default)]
    exposed_urls: Vec<Object<ExposedUrl>>,
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct ExposedUrl {
    name: String,
    url: String,
    port: i64,
}

fn yes() -> bool {
    true
}

fn default_marketplace() -> Option<String> {
    Some("marketplaces/default.json".to_owned())
}

impl SkillsRequest {
    /// # Errors
    /// For paths that lead out of a repository, and more repositories than are fetched for one call.
    pub fn into_wanted(self) -> ApiResult<SkillsWanted> {
        let organizations = match self.org_configs {
            Some(configs) if self.load_org => Object::all(configs),
            _ => Vec::new(),
        };
        let mut marketplaces = Vec::new();
        for (index, Object(registration)) in self.registered_marketplaces.into_iter().enumerate() {
            check_path(index, registration.repo_path.as_deref())?;
            marketplaces.extend(registration.into_marketplace().filter(|_| self.load_public));
        }
        if organizations.len() + marketplaces.len() > MOST_REPOSITORIES {
            let msg = format!("Value error, at most {MOST_REPOSITORIES} repositories are loaded by one call");
            return Err(Problem::new("value_error", &["body"], msg).into());
        }
        let exposed = self.sandbox_config.map(|Object(config)| config.exposed_urls).unwrap_or_default();
        Ok(SkillsWanted {
            sources: SkillSources {
                project_dir: self.project_dir.filter(|dir| self.load_project && !dir.is_empty()),
                user: self.load_user,
                public: self.load_public,
                marketplace_path: self.marketplace_path,
                marketplaces,
                organizations: organizations.into_iter().map(|config| config.org_repo_url).collect(),
            },
            exposed: Object::all(exposed)
                .into_iter()
                .map(|ExposedUrl { name, url, port }| Exposed { name, url, port })
                .collect(),
        })
    }
}

impl MarketplaceRegistration {
    /// `None` where nothing of it is loaded.
    fn into_marketplace(self) -> Option<Marketplace> {
        let only = match self.auto_load {
            AutoLoad::All(false) => return None,
            AutoLoad::All(true) => None,
            AutoLoad::Some(names) if names.is_empty() => return None,
            AutoLoad::Some(names) => Some(names),
        };
        let Self { name, source, r#ref: reference, repo_path, .. } = self;
        Some(Marketplace { name, source, reference, repo_path, only })
    }
}

fn check_path(index: usize, path: Option<&str>) -> ApiResult<()> {
    let Some(path) = path else { return Ok(()) };
    let says = if path.is_empty() {
        "repo_path must not be empty"
    } else if path.contains('\\') {
        "repo_path must use '/' separators"
    } else if path.starts_with('/') {
        "repo_path must be relative, not absolute"
    } else if Path::new(path).components().any(|part| part == Component::ParentDir) {
        "repo_path cannot contain '..' path traversal"
    } else {
        return Ok(());
    };
    let loc = vec!["body".into(), "registered_marketplaces".into(), index.into(), "repo_path".into()];
    let problem = Problem::new("value_error", &[], format!("Value error, {says}"));
    Err(Problem { loc, ..problem }.into())
}
