//! What stands in a subject: one sandbox, every one, or that of whoever signs in.

use crate::{ConversationId, Epoch, SandboxId};

/// What stands in a subject for a `T`.
pub trait Token<T> {
    fn token(&self) -> String;
}

/// Every one, in a pattern.
#[derive(Clone, Copy, Debug)]
pub struct Every;

/// That of whoever signs in, filled in by the server from the tags of the token.
#[derive(Clone, Copy, Debug)]
pub struct Own;

impl<T> Token<T> for Every {
    fn token(&self) -> String {
        "*".to_owned()
    }
}

impl Token<SandboxId> for &SandboxId {
    fn token(&self) -> String {
        self.to_string()
    }
}

impl Token<SandboxId> for Own {
    fn token(&self) -> String {
        "{{tag(sandbox)}}".to_owned()
    }
}

impl Token<Epoch> for Epoch {
    fn token(&self) -> String {
        self.0.to_string()
    }
}

impl Token<Epoch> for Own {
    fn token(&self) -> String {
        "{{tag(epoch)}}".to_owned()
    }
}

impl Token<ConversationId> for ConversationId {
    fn token(&self) -> String {
        self.hex()
    }
}
