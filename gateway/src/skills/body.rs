//! What clients say of the skills that they want to see.

use control::extensions::{Exposed, SkillsWanted};
use serde::Deserialize;
use types::calls::{Marketplace, SkillSources};

use crate::config::check_repo_path;
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
    #[schema(value_type = Vec<MarketplaceRegistration>)]
    registered_marketplaces: Vec<Object<MarketplaceRegistration>>,
    /// The folder of the project.
    project_dir: Option<String>,
    /// Repositories of organizations.
    #[schema(value_type = Option<Vec<OrgConfig>>)]
    org_configs: Option<Vec<Object<OrgConfig>>>,
    #[schema(value_type = Option<SandboxConfig>)]
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
    #[schema(value_type = Vec<ExposedUrl>)]
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
    /// `own`: catalogues of the server, of which those of the request take the places by name.
    ///
    /// # Errors
    /// For paths that lead out of a repository, and more repositories than are fetched for one call. Those of the server, which are
    /// few, are not counted.
    pub fn into_wanted(self, own: &[Marketplace]) -> ApiResult<SkillsWanted> {
        let organizations = match self.org_configs {
            Some(configs) if self.load_org => Object::all(configs),
            _ => Vec::new(),
        };
        let asked =
            self.registered_marketplaces.iter().filter(|Object(one)| self.load_public && one.is_loaded());
        if organizations.len() + asked.count() > MOST_REPOSITORIES {
            let msg = format!("Value error, at most {MOST_REPOSITORIES} repositories are loaded by one call");
            return Err(Problem::new("value_error", &["body"], msg).into());
        }
        let mut named: Vec<(String, Option<Marketplace>)> =
            own.iter().map(|one| (one.name.clone(), Some(one.clone()))).collect();
        for (index, Object(registration)) in self.registered_marketplaces.into_iter().enumerate() {
            check_path(index, registration.repo_path.as_deref())?;
            let (name, loaded) = (registration.name.clone(), registration.into_marketplace());
            match named.iter_mut().find(|(known, _)| *known == name) {
                Some((_, kept)) => *kept = loaded,
                None => named.push((name, loaded)),
            }
        }
        let loaded = named.into_iter().filter_map(|(_, loaded)| loaded);
        let marketplaces = loaded.filter(|_| self.load_public).collect();
        let exposed = self.sandbox_config.map(|Object(config)| config.exposed_urls).unwrap_or_default();
        Ok(SkillsWanted {
            sources: SkillSources {
                project_dir: self.project_dir.filter(|dir| self.load_project && !dir.is_empty()),
                user: self.load_user,
                public: self.load_public,
                only_kept: false,
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
    fn is_loaded(&self) -> bool {
        match &self.auto_load {
            AutoLoad::All(all) => *all,
            AutoLoad::Some(names) => !names.is_empty(),
        }
    }

    /// `None` where nothing of it is loaded.
    fn into_marketplace(self) -> Option<Marketplace> {
        let is_loaded = self.is_loaded();
        let Self { name, source, r#ref: reference, repo_path, auto_load } = self;
        let only = match auto_load {
            AutoLoad::All(_) => None,
            AutoLoad::Some(names) => Some(names),
        };
        is_loaded.then_some(Marketplace { name, source, reference, repo_path, only })
    }
}

fn check_path(index: usize, path: Option<&str>) -> ApiResult<()> {
    let Some(says) = path.and_then(|path| check_repo_path(path).err()) else { return Ok(()) };
    let loc = vec!["body".into(), "registered_marketplaces".into(), index.into(), "repo_path".into()];
    let problem = Problem::new("value_error", &[], format!("Value error, repo_path {says}"));
    Err(Problem { loc, ..problem }.into())
}
