//! Commands and their output, as the document shows them.

use serde::Serialize;
use types::bash::{BashCommand, BashOutput};

/// A stored command or a piece of its output.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(tag = "kind")]
#[expect(clippy::enum_variant_names, reason = "the names are those of the wire")]
pub enum BashEvent {
    BashCommand(BashCommand),
    BashOutput(BashOutput),
    BashError(BashError),
}

/// Clients know it; here a command that cannot be started is an output with exit code -1 instead.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BashError {
    pub id: String,
    /// UTC with `Z`.
    pub timestamp: String,
    pub code: String,
    pub detail: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct BashEventPage {
    pub items: Vec<BashEvent>,
    /// The first event of the next page.
    pub next_page_id: Option<String>,
}

/// The command that was started.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(tag = "kind")]
pub enum StartedCommand {
    BashCommand(BashCommand),
}

/// All output of a command that has ended.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(tag = "kind")]
pub enum WholeOutput {
    BashOutput(BashOutput),
}
