//! What clients remember of what they were told, by which all that is stored is judged.

use std::sync::Arc;

use parking_lot::Mutex;
use types::{ConversationId, TenantId};

/// What one client knows.
#[derive(Clone, Debug)]
pub struct Memory {
    pub tenant: TenantId,
    /// Nothing goes wrong, so nothing may be refused for a while.
    pub is_calm: bool,
    /// There is room for all that is said.
    pub has_room: bool,
    /// There is room for a sandbox whenever one is needed.
    pub has_places: bool,
    /// Its conversations, one after the other.
    pub past: Vec<Past>,
    pub is_done: bool,
    /// What it was told and cannot be.
    pub broken: Vec<String>,
}

/// What it knows of one conversation.
#[derive(Clone, Debug)]
pub struct Past {
    pub id: ConversationId,
    /// Of all that is said in it, and of its record: nothing else may be there.
    pub mark: String,
    /// Messages that are stored by what it was told, in order.
    pub stored: Vec<String>,
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    There,
    Deleted,
    /// It was deleted while another one was made under its id, and some of the answers were lost.
    Unknown,
}

impl Memory {
    pub fn new(tenant: TenantId, is_calm: bool, has_room: bool, has_places: bool) -> Arc<Mutex<Self>> {
        let (past, is_done, broken) = (Vec::new(), false, Vec::new());
        Arc::new(Mutex::new(Self { tenant, is_calm, has_room, has_places, past, is_done, broken }))
    }

    /// Nothing that is asked for may be refused for a while.
    pub fn is_well(&self) -> bool {
        self.is_calm && self.has_room && self.has_places
    }

    /// Of all conversations but the one that something is still done with.
    pub fn settled(&self) -> &[Past] {
        let settled = self.past.len().saturating_sub(usize::from(!self.is_done));
        self.past.get(..settled).unwrap_or_default()
    }
}

impl Past {
    pub fn new(id: ConversationId, mark: String) -> Self {
        Self { id, mark, stored: Vec::new(), fate: Fate::There }
    }

    /// Whether another one had its id before it.
    pub fn is_made_anew(&self) -> bool {
        !self.mark.ends_with(".1")
    }
}
