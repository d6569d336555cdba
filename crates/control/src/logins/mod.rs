//! Logins with providers, and those under way.

mod openai;

use crate::ground::Ground;
use crate::shelf::Shelves;
use openai::Provider as OpenAi;
pub use openai::{Challenge, MODELS as OPENAI_MODELS, OpenAiLogins, Token as OpenAiToken};

/// Bytes of the shelf that has a tenant's logins, whoever they are with.
pub(crate) const MOST: usize = 1 << 20;
pub(crate) const TOO_LARGE: &str = "These logins are more than the server keeps: 1 MiB at most.";

/// Logins with providers, and those under way. Cheap to clone.
#[derive(Clone)]
pub struct Logins {
    shelves: Shelves,
    openai: OpenAi,
}

impl Logins {
    pub(crate) fn new(ground: &Ground) -> Self {
        let openai = OpenAi::new(ground.outbound.clone(), ground.openai.login_url.clone());
        Self { shelves: ground.shelves.clone(), openai }
    }
}
