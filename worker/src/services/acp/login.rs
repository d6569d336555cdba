//! How we log in with an agent: by what it offers, and what there is for it.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tools::open::{self, Symlink};

use super::environment::Environment;

/// Bytes of a file with a login.
const MOST_LOGIN: u64 = 256 << 10;

/// The first way for which there is something, and what is sent with it. `None`: the agent may be content without.
/// Looks at files of agents, which may be anything.
pub(super) fn method(offered: &[String], environment: &Environment) -> Option<Value> {
    let offers = |id: &str| offered.iter().any(|offered| offered == id);
    let is_set = |name: &str| environment.get(name).is_some();
    let is_file = |name: &str| environment.path(name).is_some_and(|path| path.is_file());
    if offers("chat-gpt") && has_subscription(environment) {
        return Some(json!({"methodId": "chat-gpt"}));
    }
    if offers("vertex-ai") && is_file("GOOGLE_APPLICATION_CREDENTIALS") {
        return Some(json!({"methodId": "vertex-ai"}));
    }
    let home = environment.path("HOME");
    if offers("oauth-personal") && home.is_some_and(|home| home.join(".gemini/oauth_creds.json").is_file()) {
        return Some(json!({"methodId": "oauth-personal"}));
    }
    if offers("api-key") && (is_set("CODEX_API_KEY") || is_set("OPENAI_API_KEY")) {
        return Some(json!({"methodId": "api-key"}));
    }
    if offers("gemini-api-key") && is_set("GEMINI_API_KEY") {
        let gateway = environment.get("GEMINI_BASE_URL").map(|url| json!({"gateway": {"baseUrl": url}}));
        let mut params = Map::new();
        params.insert("methodId".to_owned(), "gemini-api-key".into());
        params.extend(gateway.map(|gateway| ("_meta".to_owned(), gateway)));
        return Some(params.into());
    }
    None
}

/// Whether there is a login with ChatGPT.
fn has_subscription(environment: &Environment) -> bool {
    let folder = environment.path("CODEX_HOME").or_else(|| Some(environment.path("HOME")?.join(".codex")));
    let read = |path: PathBuf| open::content(&path, Symlink::Follow, MOST_LOGIN).ok();
    let text = folder.and_then(|folder| read(folder.join("auth.json")));
    let login: Value = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let is_of_chatgpt = login.get("auth_mode").is_none_or(|mode| mode.is_null() || mode == "chatgpt");
    is_of_chatgpt && login.get("tokens").is_some_and(Value::is_object)
}
