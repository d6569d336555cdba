//! When an action needs the user's consent, and who judges its risk.

use serde::{Deserialize, Serialize};

use crate::event::Risk;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind")]
pub enum ConfirmationPolicy {
    AlwaysConfirm,
    #[default]
    NeverConfirm,
    ConfirmRisky {
        #[serde(default = "high")]
        threshold: Risk,
        #[serde(default = "yes")]
        confirm_unknown: bool,
    },
}

fn high() -> Risk {
    Risk::High
}

fn yes() -> bool {
    true
}

impl ConfirmationPolicy {
    /// Whether an action of this risk must wait for the user.
    #[must_use]
    pub fn asks(&self, risk: Risk) -> bool {
        match self {
            Self::AlwaysConfirm => true,
            Self::NeverConfirm => false,
            Self::ConfirmRisky { confirm_unknown, .. } if risk == Risk::Unknown => *confirm_unknown,
            Self::ConfirmRisky { threshold, .. } => risk >= *threshold,
        }
    }

    /// The `kind` on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AlwaysConfirm => "AlwaysConfirm",
            Self::NeverConfirm => "NeverConfirm",
            Self::ConfirmRisky { .. } => "ConfirmRisky",
        }
    }
}

/// Analyzers this server runs. `LLMSecurityAnalyzer` takes the risk that the model states with its call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind")]
pub enum SecurityAnalyzer {
    LLMSecurityAnalyzer,
}

impl SecurityAnalyzer {
    /// The `kind` on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LLMSecurityAnalyzer => "LLMSecurityAnalyzer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risky_asks_from_its_threshold_on_and_for_unknown() {
        let policy: ConfirmationPolicy =
            serde_json::from_str(r#"{"kind":"ConfirmRisky","threshold":"MEDIUM"}"#).unwrap();
        assert!(!policy.asks(Risk::Low));
        assert!(policy.asks(Risk::Medium) && policy.asks(Risk::High) && policy.asks(Risk::Unknown));
    }

    #[test]
    fn policies_read_back_as_they_were_written() {
        for text in [r#"{"kind":"NeverConfirm"}"#, r#"{"kind":"AlwaysConfirm"}"#] {
            let policy: ConfirmationPolicy = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&policy).unwrap(), text);
        }
    }
}
