//! Skills that are found in folders, and the public catalogue.

use std::collections::{BTreeMap, HashSet};

use axum::extract::State;
use control::extensions::Extensions;
use serde::Serialize;
use types::extensions::{ExtensionKind, Skill};

use super::body::SkillsRequest;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::Json;
use crate::handles::Marketplaces;

#[derive(Serialize, utoipa::ToSchema)]
pub struct SkillsResponse {
    skills: Vec<Skill>,
    /// How many skills each source had.
    sources: BTreeMap<String, usize>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct SkillCatalogResponse {
    skills: Vec<SkillCatalogEntry>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct SkillCatalogEntry {
    #[serde(flatten)]
    skill: Skill,
    /// `public` or `user`.
    origin: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct SyncResponse {
    /// `success` or `error`.
    status: &'static str,
    message: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct SkillMarketplaceResponse {
    skills: Vec<MarketplaceSkill>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct MarketplaceSkill {
    name: String,
    description: Option<String>,
    /// What an installation takes as its source.
    source: String,
    installed: bool,
}

/// The skills of a project, of the user, of organizations and of the public catalogue, by name: later sources win.
#[utoipa::path(post, path = "/api/skills", tag = "Skills", request_body = SkillsRequest,
    responses((status = 200, body = SkillsResponse)))]
pub async fn get_skills(
    State(extensions): State<Extensions>,
    State(Marketplaces(own)): State<Marketplaces>,
    caller: Caller,
    Json(body): Json<SkillsRequest>,
) -> ApiResult<Json<SkillsResponse>> {
    let found = extensions.skills(&caller.tenant, body.into_wanted(&own)?).await?;
    let sources = [
        ("sandbox", found.sandbox),
        ("registered_marketplaces", found.marketplaces),
        ("sdk_base", found.base),
        ("org", found.organizations),
        ("project", found.project),
    ];
    let sources = sources.map(|(name, count)| (name.to_owned(), count)).into();
    Ok(Json(SkillsResponse { skills: found.skills, sources }))
}

/// The skills that a conversation may have wherever it works.
#[utoipa::path(get, path = "/api/skills/catalog", tag = "Skills", responses((status = 200, body = SkillCatalogResponse)))]
pub async fn get_skill_catalog(
    State(extensions): State<Extensions>,
    caller: Caller,
) -> ApiResult<Json<SkillCatalogResponse>> {
    let entry =
        |(skill, is_public)| SkillCatalogEntry { skill, origin: if is_public { "public" } else { "user" } };
    let skills = extensions.catalogue(&caller.tenant).await?.into_iter().map(entry).collect();
    Ok(Json(SkillCatalogResponse { skills }))
}

/// Fetches the public catalogue anew.
#[utoipa::path(post, path = "/api/skills/sync", tag = "Skills", responses((status = 200, body = SyncResponse)))]
pub async fn sync_skills(
    State(extensions): State<Extensions>,
    caller: Caller,
) -> ApiResult<Json<SyncResponse>> {
    let (status, message) = match extensions.sync(&caller.tenant).await? {
        true => ("success", "Skills repository synced successfully"),
        false => ("error", "Failed to sync skills repository"),
    };
    Ok(Json(SyncResponse { status, message }))
}

/// What the public catalogue offers, and what of it is installed.
#[utoipa::path(get, path = "/api/skills/marketplace", tag = "Skills",
    responses((status = 200, body = SkillMarketplaceResponse)))]
pub async fn get_skill_marketplace(
    State(extensions): State<Extensions>,
    caller: Caller,
) -> ApiResult<Json<SkillMarketplaceResponse>> {
    let offered = extensions.offered(&caller.tenant).await?;
    let known = extensions.installed(&caller.tenant, ExtensionKind::Skill).await?;
    let known: HashSet<&str> = known.iter().map(|one| one.name.as_str()).collect();
    let skills = offered.into_iter().map(|offered| MarketplaceSkill {
        installed: known.contains(offered.name.as_str()),
        source: source_of(&offered.source, offered.reference.as_deref(), offered.repo_path.as_deref()),
        name: offered.name,
        description: offered.description,
    });
    Ok(Json(SkillMarketplaceResponse { skills: skills.collect() }))
}

/// `github:owner/repo@ref/path`.
fn source_of(source: &str, reference: Option<&str>, path: Option<&str>) -> String {
    let reference = reference.map(|reference| format!("@{reference}")).unwrap_or_default();
    let path = path.map(|path| format!("/{path}")).unwrap_or_default();
    format!("{source}{reference}{path}")
}
