//! Which conversations there are, and which one the beginning of an id means.

use serde_json::Value;

use super::Usage;
use super::api::Api;
use super::values::{list, text};

/// How many are named where several are meant.
const NAMED: usize = 5;
const WHOLE: usize = 32;

/// # Errors
/// Where none or several are meant.
pub async fn resolve(api: &Api, beginning: &str) -> anyhow::Result<String> {
    let wanted = hex(beginning);
    if wanted.is_empty() || !wanted.chars().all(|c| c.is_ascii_hexdigit()) || wanted.len() > WHOLE {
        return Err(Usage(format!("{beginning:?} is not the beginning of an id")).into());
    }
    if wanted.len() == WHOLE {
        return match api.get(&format!("/api/conversations/{wanted}")).await {
            Err(error) if error.status() == Some(404) => Err(none(beginning)),
            found => found.map(|_| wanted).map_err(Into::into),
        };
    }
    let mut found = Vec::new();
    pages(api, "", |info| {
        if hex(id_of(info)).starts_with(&wanted) {
            found.push(id_of(info).to_owned());
        }
        Ok(())
    })
    .await?;
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(none(beginning)),
        several => {
            let named: Vec<&str> = several.iter().take(NAMED).map(String::as_str).collect();
            let count = several.len();
            Err(Usage(format!("{count} conversations begin with {beginning}: {}", named.join(", "))).into())
        }
    }
}

/// All conversations, page by page.
///
/// # Errors
/// Of the server, and of whoever takes them.
pub async fn pages(
    api: &Api,
    query: &str,
    mut take: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut from = String::new();
    loop {
        let page = api.get(&format!("/api/conversations/search?limit=100{query}{from}")).await?;
        list(&page, "/items").iter().try_for_each(&mut take)?;
        match page.get("next_page_id").and_then(Value::as_str) {
            Some(next) => from = format!("&page_id={next}"),
            None => return Ok(()),
        }
    }
}

pub fn id_of(info: &Value) -> &str {
    text(info, "/id")
}

fn none(beginning: &str) -> anyhow::Error {
    Usage(format!("no conversation has an id that begins with {beginning}")).into()
}

fn hex(id: &str) -> String {
    id.chars().filter(|c| *c != '-').collect::<String>().to_lowercase()
}
