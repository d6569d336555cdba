//! Which log: that of a conversation, or that of the commands of a shell.

use std::fmt;

use uuid::Uuid;

use crate::ids::{ConversationId, SandboxId};

const BASH: &str = "_bash";
const SNAPSHOTS: &str = "_snapshots-";

/// One log of a sandbox. What kind of records it holds is part of what it is called, so nobody has to guess
/// from their bytes.
///
/// Its text is `<sandbox>.<name>`, see [`LogId::name`]. [`LogId::parse`] reads it back, and reads no other text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogId {
    /// The events of a conversation.
    Conversation { sandbox: SandboxId, id: ConversationId },
    /// The commands that were run over the API, and what they printed.
    Bash { sandbox: SandboxId, scope: BashScope },
    /// What a worker need not read again of a conversation's log. Its last record counts.
    Snapshots { sandbox: SandboxId, id: ConversationId },
}

/// Where commands of the API are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BashScope {
    /// Anywhere in the sandbox.
    #[default]
    Sandbox,
    /// In the workspace of one conversation.
    Conversation(ConversationId),
}

impl LogId {
    #[must_use]
    pub fn conversation(sandbox: &SandboxId, id: ConversationId) -> Self {
        Self::Conversation { sandbox: sandbox.clone(), id }
    }

    #[must_use]
    pub fn bash(sandbox: &SandboxId, scope: BashScope) -> Self {
        Self::Bash { sandbox: sandbox.clone(), scope }
    }

    #[must_use]
    pub fn snapshots(sandbox: &SandboxId, id: ConversationId) -> Self {
        Self::Snapshots { sandbox: sandbox.clone(), id }
    }

    /// `None` for a text that names no log.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sandbox, name) = text.split_once('.')?;
        Self::of_name(&SandboxId::parse(sandbox)?, name)
    }

    /// The log that `sandbox` has under a [`LogId::name`]; `None` where that is the name of none.
    #[must_use]
    pub fn of_name(sandbox: &SandboxId, name: &str) -> Option<Self> {
        if let Some(hex) = name.strip_prefix(SNAPSHOTS) {
            return Some(Self::snapshots(sandbox, of_hex(hex)?));
        }
        let Some(rest) = name.strip_prefix(BASH) else {
            return Some(Self::conversation(sandbox, of_hex(name)?));
        };
        let scope = match rest {
            "" => BashScope::Sandbox,
            _ => BashScope::Conversation(of_hex(rest.strip_prefix('-')?)?),
        };
        Some(Self::bash(sandbox, scope))
    }

    /// The conversation that it goes with.
    #[must_use]
    pub fn of_conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Conversation { id, .. }
            | Self::Snapshots { id, .. }
            | Self::Bash { scope: BashScope::Conversation(id), .. } => Some(*id),
            Self::Bash { scope: BashScope::Sandbox, .. } => None,
        }
    }

    /// Of a bash log.
    #[must_use]
    pub fn bash_scope(&self) -> Option<BashScope> {
        match self {
            Self::Conversation { .. } | Self::Snapshots { .. } => None,
            Self::Bash { scope, .. } => Some(*scope),
        }
    }

    /// Whether its records are published once they are stored. Nobody follows snapshots, and they are large.
    #[must_use]
    pub fn is_published(&self) -> bool {
        match self {
            Self::Conversation { .. } | Self::Bash { .. } => true,
            Self::Snapshots { .. } => false,
        }
    }

    #[must_use]
    pub fn sandbox(&self) -> &SandboxId {
        match self {
            Self::Conversation { sandbox, .. }
            | Self::Bash { sandbox, .. }
            | Self::Snapshots { sandbox, .. } => sandbox,
        }
    }

    /// What it is called among the logs of its sandbox: 32 hexadecimal digits for a conversation, `_bash`, and
    /// `_bash-` or `_snapshots-` before such digits. Stored data is found by it, so it must never change.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Conversation { id, .. } => id.hex(),
            Self::Snapshots { id, .. } => format!("{SNAPSHOTS}{}", id.hex()),
            Self::Bash { scope: BashScope::Sandbox, .. } => BASH.to_owned(),
            Self::Bash { scope: BashScope::Conversation(id), .. } => format!("{BASH}-{}", id.hex()),
        }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.sandbox(), self.name())
    }
}

/// A conversation by exactly the digits that [`ConversationId::hex`] gives.
fn of_hex(hex: &str) -> Option<ConversationId> {
    let id = ConversationId(Uuid::try_parse(hex).ok()?);
    (id.hex() == hex).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn every_log_is_read_back_from_its_text_and_keeps_the_name_it_always_had() {
        let id = ConversationId(Uuid::parse_str(HEX).unwrap());
        for sandbox in ["default", "a", "_bash", "-", HEX].map(|name| SandboxId::parse(name).unwrap()) {
            let named = [
                (LogId::conversation(&sandbox, id), HEX.to_owned()),
                (LogId::bash(&sandbox, BashScope::Sandbox), "_bash".to_owned()),
                (LogId::bash(&sandbox, BashScope::Conversation(id)), format!("_bash-{HEX}")),
                (LogId::snapshots(&sandbox, id), format!("_snapshots-{HEX}")),
            ];
            for (log, name) in named {
                assert_eq!(log.to_string(), format!("{sandbox}.{name}"));
                assert_eq!(LogId::parse(&log.to_string()), Some(log));
            }
        }
    }

    #[test]
    fn no_other_text_names_a_log() {
        let (upper, dashed) = (HEX.to_uppercase(), "00112233-4455-6677-8899-aabbccddeeff");
        let names = [
            "",
            "a",
            "_",
            "_bash-",
            "_bashx",
            "_bash.x",
            "_snapshots",
            "_snapshots-",
            "bash",
            "*",
            ">",
            "..",
            dashed,
        ];
        let hexes = [upper.as_str(), &HEX[1..], "00112233445566778899aabbccddeeff0", "*", ""];
        let wrong = names.iter().map(|name| format!("default.{name}"));
        let wrong = wrong.chain(hexes.iter().flat_map(|hex| [format!("a.{hex}"), format!("a._bash-{hex}")]));
        let wrong =
            wrong.chain([HEX.to_owned(), format!(".{HEX}"), format!("a b.{HEX}"), format!("a.{HEX}.x")]);
        for text in wrong {
            assert_eq!(LogId::parse(&text), None, "{text:?}");
        }
    }
}
