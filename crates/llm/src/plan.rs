//! What is decided before a call is made: where it goes, and what the model can do.

use http::HeaderMap;
use types::agent::LlmConfig;

use crate::problem::Problem;
use crate::route::Route;
use crate::traits::Traits;

/// What all attempts of a call share.
pub(crate) struct Plan {
    pub route: Route,
    pub headers: HeaderMap,
    pub traits: Traits,
    pub session: String,
    pub stream: bool,
}

/// What a failed attempt made us change.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tweaks {
    /// At temperature 0 a model that said nothing would say nothing again.
    pub warmer: bool,
    pub without_cache_markers: bool,
    /// The model writes its calls into its text.
    pub tools_in_words: bool,
}

impl Tweaks {
    pub(crate) fn temperature(self, llm: &LlmConfig) -> Option<f64> {
        if self.warmer { Some(1.0) } else { llm.temperature }
    }
}

impl Plan {
    pub(crate) fn new(llm: &LlmConfig, session: &str, stream: bool) -> Result<Self, Problem> {
        let route = Route::of(llm)?;
        let traits = Traits::of(llm, route.provider);
        let headers = route.headers(llm, &traits, session)?;
        Ok(Self { route, headers, traits, session: session.to_owned(), stream })
    }
}
