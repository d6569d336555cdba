//! What agents behind the Agent Client Protocol offer, and how they are started.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const MOST_MODELS: usize = 1_000;
/// Bytes that all models together take in memory.
const MOST_OF_MODELS: usize = 256 << 10;
/// Characters of a text.
const MOST_WORDS: usize = 1_000;

/// How an agent is started, its secrets in plain text.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpProgram {
    pub command: Vec<String>,
    /// Started instead where its first word is a program on the search path.
    pub preferred: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    /// Variables that it does not inherit.
    pub without: Vec<String>,
    pub files: Vec<AcpFile>,
    /// The variable that says where it keeps its data, and a name for a folder of its own.
    pub data_folder: Option<(String, String)>,
}

/// A secret that an agent reads from a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpFile {
    pub folder: String,
    pub name: String,
    /// The variable that says where it is, and whether that is its folder.
    pub variable: String,
    pub is_folder_named: bool,
    pub text: String,
}

/// What an agent says of itself, or why it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ACPModelDiscovery))]
pub struct AcpDiscovery {
    pub agent_name: Option<String>,
    pub agent_version: Option<String>,
    /// The model that it takes where nobody says another.
    pub current_model_id: Option<String>,
    pub available_models: Vec<AcpModel>,
    /// Whether a conversation can change between them.
    pub supports_runtime_model_switch: bool,
    pub error: Option<AcpFailure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ACPModelInfo))]
pub struct AcpModel {
    pub model_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
}

/// Why an agent says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ACPModelDiscoveryError))]
pub struct AcpFailure {
    /// `ACPAuthRequired`, `ACPStartupTimeout`, `ACPSpawnError` or `ACPInitError`.
    pub code: String,
    pub detail: String,
}

impl AcpDiscovery {
    /// As much of it as is told and remembered. An agent chooses what there is, and so does a sandbox that hands it on.
    #[must_use]
    pub fn bounded(self) -> Self {
        let mut left = MOST_OF_MODELS;
        let has_room = |model: &AcpModel| {
            let rest = left.checked_sub(model.size());
            left = rest.unwrap_or_default();
            rest.is_some()
        };
        let models = self.available_models.into_iter().take(MOST_MODELS).map(AcpModel::bounded);
        let mut available_models: Vec<_> = models.take_while(has_room).collect();
        // It may be the place in which all of them were.
        available_models.shrink_to_fit();
        Self {
            agent_name: self.agent_name.map(cut),
            agent_version: self.agent_version.map(cut),
            current_model_id: self.current_model_id.map(cut),
            available_models,
            supports_runtime_model_switch: self.supports_runtime_model_switch,
            error: self
                .error
                .map(|AcpFailure { code, detail }| AcpFailure { code: cut(code), detail: cut(detail) }),
        }
    }
}

impl AcpModel {
    fn bounded(self) -> Self {
        Self {
            model_id: cut(self.model_id),
            name: self.name.map(cut),
            description: self.description.map(cut),
        }
    }

    fn size(&self) -> usize {
        let texts = [Some(&self.model_id), self.name.as_ref(), self.description.as_ref()];
        size_of::<Self>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MOST_WORDS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(text: String) -> AcpModel {
        AcpModel { model_id: text.clone(), name: Some(text.clone()), description: Some(text) }
    }

    #[test]
    fn of_what_an_agent_says_no_more_is_kept_than_one_needs() {
        let (long, longer) = ("ä".repeat(MOST_WORDS), "ä".repeat(2 * MOST_WORDS));
        let said = AcpDiscovery {
            agent_name: Some(longer.clone()),
            agent_version: Some(longer.clone()),
            current_model_id: Some(longer.clone()),
            available_models: vec![model(longer.clone())],
            error: Some(AcpFailure { code: longer.clone(), detail: longer }),
            ..AcpDiscovery::default()
        };
        let kept = AcpDiscovery {
            agent_name: Some(long.clone()),
            agent_version: Some(long.clone()),
            current_model_id: Some(long.clone()),
            available_models: vec![model(long.clone())],
            error: Some(AcpFailure { code: long.clone(), detail: long }),
            ..AcpDiscovery::default()
        };
        assert_eq!(said.bounded(), kept);
        for (number, text, most) in [(100_000, "", MOST_MODELS), (1_000, &*"x".repeat(1_000), 85)] {
            let available_models = vec![model(text.to_owned()); number];
            let kept = AcpDiscovery { available_models, ..AcpDiscovery::default() }.bounded();
            assert_eq!(kept.available_models.len(), most);
            assert!(kept.available_models.capacity() <= MOST_MODELS);
        }
    }
}
