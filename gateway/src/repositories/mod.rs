//! Repositories of providers, to choose from.

use axum::extract::State;
use control::repositories::{Cursor, Page, Repositories, Repository, Search};
use serde::{Deserialize, Serialize};

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Query, choice, limit};
use crate::schema::order::GitProvider;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new().routes(routes!(git_repositories_search))
}

#[derive(Clone, Copy, PartialEq)]
enum Provider {
    GitHub,
    Other(&'static str),
}

const PROVIDERS: [(&str, Provider); 4] = [
    ("github", Provider::GitHub),
    ("gitlab", Provider::Other("gitlab")),
    ("bitbucket", Provider::Other("bitbucket")),
    ("azure_devops", Provider::Other("azure_devops")),
];

#[derive(Deserialize)]
struct Asked {
    provider: String,
    query: Option<String>,
    limit: Option<i64>,
    page_id: Option<String>,
}

/// A repository of a provider.
#[derive(Serialize, utoipa::ToSchema)]
struct GitProviderRepository {
    id: String,
    full_name: String,
    git_provider: String,
    is_public: bool,
    stargazers_count: Option<i64>,
    pushed_at: Option<String>,
    main_branch: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct GitProviderRepositoryPage {
    items: Vec<GitProviderRepository>,
    next_page_id: Option<String>,
    /// Whether there is no token to ask the provider with.
    missing_token: bool,
}

/// The repositories that the tenant's token reaches.
#[utoipa::path(get, path = "/api/git/repositories/search", tag = "Git",
    params(("provider" = inline(GitProvider), Query), ("query" = Option<String>, Query),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100),
        ("page_id" = Option<String>, Query, pattern = "^[1-9][0-9]{0,8}(:[0-9]{1,9})?$")),
    responses((status = 200, body = GitProviderRepositoryPage), (status = 400, description = "Not of this provider"),
        (status = 502, description = "The provider has failed"), (status = 504, description = "The provider does not answer")))]
async fn git_repositories_search(
    State(repositories): State<Repositories>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> ApiResult<Json<GitProviderRepositoryPage>> {
    let provider = choice("provider", Some(&asked.provider), &PROVIDERS)?;
    let limit = limit(asked.limit)?;
    if let Some(Provider::Other(name)) = provider {
        let told = format!("Repository discovery is not supported for provider '{name}'");
        return Err(ApiError::bad_request(told));
    }
    let from = asked.page_id.as_deref().map_or(Ok(Cursor::START), str::parse);
    let from = from.map_err(|()| ApiError::bad_request("Invalid repository page_id"))?;
    let search = Search { query: asked.query, limit, from };
    Ok(Json(repositories.search(&caller.tenant, &search).await?.into()))
}

impl From<Option<Page>> for GitProviderRepositoryPage {
    fn from(page: Option<Page>) -> Self {
        let missing_token = page.is_none();
        let (items, next) = page.map(|page| (page.items, page.next)).unwrap_or_default();
        Self {
            items: items.into_iter().map(GitProviderRepository::from).collect(),
            next_page_id: next.map(|next| next.to_string()),
            missing_token,
        }
    }
}

impl From<Repository> for GitProviderRepository {
    fn from(repository: Repository) -> Self {
        Self {
            id: repository.id,
            full_name: repository.full_name,
            git_provider: "github".to_owned(),
            is_public: repository.is_public,
            stargazers_count: repository.stars,
            pushed_at: repository.pushed_at,
            main_branch: repository.main_branch,
        }
    }
}
