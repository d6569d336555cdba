//! GitHub's list of what a token reaches.

use std::sync::Arc;
use std::time::Duration;

use outbound::Outbound;
use ports::rpc::Code;
use reqwest::header::{ACCEPT, LINK};
use reqwest::{Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{Cursor, Page, Repository, Search};
use crate::Refusal;

const PATIENCE: Duration = Duration::from_secs(15);
/// What GitHub shows at most at once.
const OF_A_PAGE: &str = "100";
/// A name that fits little is looked for so far; the next call goes on from there.
const MOST_PAGES: usize = 20;
const MOST_BYTES: usize = 8 << 20;

#[derive(Clone)]
pub(super) struct GitHub {
    outbound: Outbound,
    base: Arc<str>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    id: i64,
    #[serde(default)]
    full_name: String,
    #[serde(default)]
    private: bool,
    stargazers_count: Option<i64>,
    pushed_at: Option<String>,
    default_branch: Option<String>,
}

impl GitHub {
    pub fn new(outbound: Outbound, base: Arc<str>) -> Self {
        Self { outbound, base }
    }

    pub async fn search(&self, token: &SecretString, search: &Search) -> Result<Page, Refusal> {
        let wanted = search.query.as_ref().map(|query| query.to_lowercase());
        let fits = |found: &Found| {
            wanted.as_ref().is_none_or(|wanted| found.full_name.to_lowercase().contains(wanted))
        };
        let (mut items, mut at) = (Vec::new(), search.from);
        for _ in 0..MOST_PAGES {
            let (found, next) = self.page(token, at.page).await?;
            let mut fitting = found.into_iter().filter(fits).skip(at.offset);
            let room = search.limit - items.len();
            items.extend(fitting.by_ref().take(room).map(Repository::from));
            if fitting.next().is_some() {
                let next = Cursor { page: at.page, offset: at.offset + room };
                return Ok(Page { items, next: Some(next) });
            }
            let Some(next) = next.map(Cursor::of_page) else { return Ok(Page { items, next: None }) };
            at = next;
            if wanted.is_none() || items.len() == search.limit {
                break;
            }
        }
        Ok(Page { items, next: Some(at) })
    }

    /// What is on a page, and the number of the next one.
    async fn page(&self, token: &SecretString, page: u32) -> Result<(Vec<Found>, Option<u32>), Refusal> {
        let number = page.to_string();
        let query = [
            ("per_page", OF_A_PAGE),
            ("page", &number),
            ("sort", "pushed"),
            ("affiliation", "owner,collaborator,organization_member"),
        ];
        let url =
            Url::parse_with_params(&format!("{}/user/repos", self.base), query).map_err(|_| failed())?;
        let client = self.outbound.client(&url).map_err(|error| {
            tracing::warn!(%error, "GitHub is not called");
            failed()
        })?;
        let request = client
            .get(url)
            .timeout(PATIENCE)
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header("User-Agent", "manyhands")
            .bearer_auth(token.expose_secret());
        let response = request.send().await.map_err(|error| unreached(&error))?;
        refuse(response.status())?;
        let next = response.headers().get(LINK).and_then(|links| next_page(links.to_str().ok()?));
        let found = serde_json::from_slice(&body(response).await?).map_err(|_| failed())?;
        Ok((found, next))
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreached(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MOST_BYTES {
            return Err(failed());
        }
    }
    Ok(body)
}

/// A refused token is not answered 401: that would say that the caller's own key is refused.
fn refuse(status: StatusCode) -> Result<(), Refusal> {
    if status.is_success() {
        return Ok(());
    }
    tracing::warn!(status = status.as_u16(), "GitHub refuses a list of repositories");
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Code::Forbidden,
        status if status.is_server_error() => Code::Upstream,
        _ => Code::BadRequest,
    };
    Err(refusal(code, "GitHub repository search failed"))
}

fn unreached(error: &reqwest::Error) -> Refusal {
    if error.is_timeout() {
        return refusal(Code::UpstreamSlow, "GitHub repository search timed out");
    }
    failed()
}

fn failed() -> Refusal {
    refusal(Code::Upstream, "GitHub repository search failed")
}

fn refusal(code: Code, detail: &str) -> Refusal {
    Refusal::Coded { code, detail: detail.into() }
}

/// `<https://…?page=2>; rel="next", <…>; rel="last"`
fn next_page(links: &str) -> Option<u32> {
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once('<')?;
    let (url, _) = rest.split_once('>')?;
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "page")?.1.parse().ok()
}

impl From<Found> for Repository {
    fn from(found: Found) -> Self {
        Self {
            id: found.id.to_string(),
            full_name: found.full_name,
            is_public: !found.private,
            stars: found.stargazers_count,
            pushed_at: found.pushed_at,
            main_branch: found.default_branch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_one_that_is_called_so() {
        let links = r#"<https://api.github.com/user/repos?per_page=100&page=3>; rel="next", <https://x/?page=9>; rel="last""#;
        assert_eq!(next_page(links), Some(3));
        assert_eq!(next_page(r#"<https://x/?page=1>; rel="prev""#), None);
        assert_eq!(next_page(""), None);
    }
}
