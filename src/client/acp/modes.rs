//! The modes of a session: for which actions somebody is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

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

    /// Once all changes before `turn` are over.
    ///
    /// # Errors
    /// Of the server.
    pub async fn set_in_turn(self, mut turn: Turn, api: &Api, conversation: &str) -> Result<(), Error> {
        turn.comes().await;
        let set = self.set(api, conversation).await;
        turn.change.has_failed.store(set.is_err(), Ordering::Relaxed);
        set
    }

    /// # Errors
    /// Of the server.
    async fn set(self, api: &Api, conversation: &str) -> Result<(), Error> {
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

/// The changes of a session's mode, each after the one before it, in the order in which an editor has asked for them: what was
/// asked for last is what holds.
#[derive(Default)]
pub struct Changes {
    newest: Option<Change>,
}

#[derive(Clone, Default)]
struct Change {
    over: CancellationToken,
    has_failed: Arc<AtomicBool>,
}

/// Over when it is dropped.
pub struct Turn {
    before: Option<Change>,
    change: Change,
    _over: DropGuard,
}

impl Turn {
    /// Returns once all changes before this one are over.
    pub async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            before.over.cancelled().await;
        }
    }
}

impl Changes {
    pub fn turn(&mut self) -> Turn {
        let change = Change::default();
        let before = self.newest.replace(change.clone());
        Turn { before, _over: change.over.clone().drop_guard(), change }
    }

    pub fn are_under_way(&self) -> bool {
        self.newest.as_ref().is_some_and(|change| !change.over.is_cancelled())
    }

    /// Returns once all that were asked for so far are over. Whether the last of them has failed, of which nobody was told before.
    pub fn have_failed(&self) -> impl Future<Output = bool> + Send + use<> {
        let under_way = self.newest.clone().filter(|_| self.are_under_way());
        async move {
            let Some(change) = under_way else { return false };
            change.over.cancelled().await;
            change.has_failed.load(Ordering::Relaxed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::stand_in::StandIn;

    #[tokio::test]
    async fn the_mode_that_was_asked_for_last_holds_however_many_calls_the_one_before_it_takes() {
        let mut server = StandIn::start([], (200, json!({}))).await;
        let mut changes = Changes::default();
        let turns = [(Mode::Risky, changes.turn()), (Mode::Always, changes.turn())];
        let have_failed = changes.have_failed();
        let [risky, always] = turns.map(|(mode, turn)| mode.set_in_turn(turn, &server.api, "c"));
        // The later one is heard first.
        let (always, risky, have_failed) = tokio::join!(always, risky, have_failed);
        assert!(always.is_ok() && risky.is_ok() && !have_failed);
        let mut set = Vec::new();
        while let Ok(body) = server.posts.try_recv() {
            set.extend(body.pointer("/policy/kind").and_then(Value::as_str).map(str::to_owned));
        }
        assert_eq!(set, ["ConfirmRisky", "AlwaysConfirm"]);
    }
    #[tokio::test]
    async fn what_is_asked_for_behind_a_change_that_fails_is_told_so_and_nothing_after_that() {
        let server = StandIn::start([], (404, json!({}))).await;
        let mut changes = Changes::default();
        let turn = changes.turn();
        let have_failed = changes.have_failed();
        assert!(Mode::Always.set_in_turn(turn, &server.api, "c").await.is_err());
        assert!(have_failed.await && !changes.have_failed().await);
    }
}
