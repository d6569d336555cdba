//! Logins with providers, and those under way.

mod openai;

use crate::ground::Ground;
use crate::shelf::Shelves;
use openai::Provider as OpenAi;
pub use openai::{Challenge, MODELS as OPENAI_MODELS, OpenAiLogins, Token as OpenAiToken};

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
