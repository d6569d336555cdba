//! MCP servers, as far as they are tried out and logged in to before a conversation uses them.
//!
//! A server that is a program runs where the conversations of its tenant would run it, in a worker; one on the network is
//! called from here, for workers of a cluster have no network. Nothing of a trial is kept; a login is, for as long as its user
//! may take (`login`, `finish`).

mod browser;
mod came_back;
mod door;
mod doors;
mod finish;
mod jobs;
mod known;
mod login;
mod place;
mod renewals;
mod request;
mod seen;
mod trial;

use outbound::Outbound;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::TenantId;
use types::mcp::{McpFailure, McpFound};

use crate::Refusal;
use crate::Tasks;
use crate::ground::Ground;
use crate::placement::Workers;
use crate::shelf::Shelves;
use crate::slots::Slots;
use doors::Doors;
pub use jobs::McpLogins;
use known::Known;
pub use login::{JobStatus, Started};
use place::Place;
pub use request::Request;
use seen::SeenByTenant;

/// Trials of a tenant at one time, and logins that are begun or finished; and as many tokens that are renewed.
const MOST_AT_ONCE: usize = 4;

/// MCP servers, as far as they are tried out and logged in to before a conversation uses them. Cheap to clone.
#[derive(Clone)]
pub struct McpServers {
    shelves: Shelves,
    outbound: Outbound,
    workers: Workers,
    slots: Slots,
    renewing: Slots,
    doors: Doors,
    seen: SeenByTenant,
    tasks: Tasks,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tried", rename_all = "snake_case")]
pub enum Tried {
    Found {
        found: McpFound,
        /// What a login has come to, its secrets as tokens.
        oauth_state: Option<Value>,
    },
    Failed {
        #[serde(flatten)]
        failure: McpFailure,
        /// The same, where there is a new one in spite of that: the one before it may be good no more.
        #[serde(default)]
        oauth_state: Option<Value>,
    },
}

/// Bytes of a tool's text, and of all names of tools, that are stored with a login.
const MOST_STORED: usize = 16 << 10;

impl Tried {
    fn failed(failure: impl Into<McpFailure>) -> Self {
        Self::Failed { failure: failure.into(), oauth_state: None }
    }

    /// With what a login has come to.
    fn with_login(self, oauth_state: Option<Value>) -> Self {
        match self {
            Self::Found { found, .. } => Self::Found { found, oauth_state },
            Self::Failed { failure, .. } => Self::Failed { failure, oauth_state },
        }
    }

    /// As much of it as is stored with a login.
    fn shortened(self) -> Self {
        let Self::Found { mut found, oauth_state } = self else { return self };
        let mut room = MOST_STORED;
        found.tools.retain(|tool| {
            let fits = tool.len() <= room;
            room = if fits { room - tool.len() } else { 0 };
            fits
        });
        if let Some(result) = &mut found.tool_result {
            result.text.truncate(result.text.floor_char_boundary(MOST_STORED));
        }
        Self::Found { found, oauth_state }
    }
}

impl McpServers {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self {
            shelves: ground.shelves.clone(),
            // Tenants name one server after another.
            outbound: ground.outbound.without_idle(),
            workers: ground.workers.clone(),
            slots: Slots::new(MOST_AT_ONCE),
            renewing: Slots::new(MOST_AT_ONCE),
            doors: Doors::default(),
            seen: SeenByTenant::default(),
            tasks: ground.tasks.clone(),
        }
    }

    /// Whether a server works. That it does not is an answer, and no error.
    ///
    /// # Errors
    /// `Unfit` where a token does not open, a fault where nobody can try it now.
    pub async fn test(&self, tenant: &TenantId, request: Request) -> Result<Tried, Refusal> {
        let _slot = self.slots.take(tenant)?;
        let request = request.opened(&self.sealing(tenant))?;
        let mut known = Known::of(&request.server);
        let tried = match Place::of(&request.server) {
            Ok(Place::Program(program)) => self.try_program(tenant, program, &request).await?,
            Ok(Place::Remote(remote)) => self.try_remote(tenant, &remote, &request, &mut known).await?,
            Err(error) => Tried::failed(&error),
        };
        Ok(known.hidden_in(tried))
    }
}
