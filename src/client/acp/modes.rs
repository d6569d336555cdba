//! The modes of a session: for which actions somebody is asked.

use serde_json::{Value, json};

use crate::client::api::{Api, Error};
use crate::client::values::text;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    Always,
    /// The model says itself what is.
    Risky,
    #[default]
    Never,
}

const ALL: [Mode; 3] = [Mode::Always, Mode::Risky, Mode::Never];

impl Mode {
    pub fn of_id(id: &str) -> Option<Self> {
        ALL.into_iter().find(|mode| mode.id() == id)
    }

    /// That of a conversation.
    pub fn of(info: &Value) -> Self {
        let kind = text(info, "/confirmation_policy/kind");
        ALL.into_iter().find(|mode| mode.policy() == kind).unwrap_or_default()
    }

    fn id(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Risky => "risky",
            Self::Never => "never",
        }
    }

    fn policy(self) -> &'static str {
        match self {
            Self::Always => "AlwaysConfirm",
            Self::Risky => "ConfirmRisky",
            Self::Never => "NeverConfirm",
        }
    }

    /// # Errors
    /// Of the server.
    pub async fn set(self, api: &Api, conversation: &str) -> Result<(), Error> {
        let path = |of: &str| format!("/api/conversations/{conversation}/{of}");
        if self == Self::Risky {
            // First: where nobody says what is risky, everything is.
            let analyzer = json!({"security_analyzer": {"kind": "LLMSecurityAnalyzer"}});
            api.post(&path("security_analyzer"), &analyzer).await?;
        }
        api.post(&path("confirmation_policy"), &json!({"policy": {"kind": self.policy()}})).await?;
        Ok(())
    }

    /// As an editor is told which there are, and which of them it is.
    pub fn as_json(self) -> Value {
        let mode = |mode: Self| {
            let (name, description) = match mode {
                Self::Always => ("Ask", "Asks before each action"),
                Self::Risky => {
                    ("Ask for risks", "Asks before actions that the model calls risky, or does not judge")
                }
                Self::Never => ("Do not ask", "Runs everything"),
            };
            json!({"id": mode.id(), "name": name, "description": description})
        };
        json!({"currentModeId": self.id(), "availableModes": ALL.map(mode)})
    }
}
