//! Why no agent can be made of a profile.

use ports::rpc::Code;
use serde_json::json;

use crate::Refusal;

pub(super) enum Unlaunchable {
    References(Dangling),
    /// In a sentence for the client.
    Invalid(String),
}

/// What a profile refers to and nobody has.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Dangling {
    pub llm_profile: Option<String>,
    pub mcp_servers: Vec<String>,
    pub meta_profile: Option<String>,
    /// LLM profiles that the meta-profile chooses from.
    pub routed: Vec<String>,
}

impl Dangling {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A sentence for each kind.
    pub fn problems(&self) -> Vec<String> {
        let list = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
        };
        let llm_profile = self.llm_profile.as_ref().map(|name| format!("LLM profile '{name}' not found"));
        let meta_profile = self.meta_profile.as_ref().map(|name| format!("Meta-profile '{name}' not found"));
        let all = [
            llm_profile,
            list("MCP server(s) not configured", &self.mcp_servers),
            meta_profile,
            list("LLM profile(s) routed to by the meta-profile not found", &self.routed),
        ];
        all.into_iter().flatten().collect()
    }
}

impl From<Unlaunchable> for Refusal {
    fn from(unlaunchable: Unlaunchable) -> Self {
        let detail = match unlaunchable {
            Unlaunchable::References(dangling) => json!({
                "code": "unresolved_profile_references",
                "message": dangling.problems().join("; "),
                "dangling_llm_profile_ref": dangling.llm_profile,
                "dangling_mcp_server_refs": dangling.mcp_servers,
                "dangling_meta_profile_ref": dangling.meta_profile,
                "dangling_meta_profile_llm_refs": dangling.routed,
            }),
            Unlaunchable::Invalid(why) => json!({"code": "invalid_agent_launch", "message": why}),
        };
        Self::Coded { code: Code::Invalid, detail }
    }
}
