//! The folders that the user interface offers: a list of them, and one of folders whose folders it offers.

mod document;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use types::TenantId;

use crate::Refusal;
use crate::ground::Ground;
use crate::shelf::{Change, Shelves};
use document::MOST_FOLDERS;
pub use document::{Folder, Folders};

const TOO_MANY: Refusal = Refusal::TooLarge("A list may have at most 5,000 folders.");

/// The folders that the user interface offers. Cheap to clone.
#[derive(Clone)]
pub struct Workspaces {
    shelves: Shelves,
}

/// One of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Workspaces,
    Parents,
}

impl Workspaces {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self::on(ground.shelves.clone())
    }

    #[must_use]
    pub fn on(shelves: Shelves) -> Self {
        Self { shelves }
    }

    /// # Errors
    /// Those of the shelf.
    pub async fn all(&self, tenant: &TenantId) -> Result<Folders, Refusal> {
        self.shelves.read(tenant).await
    }

    /// Adds those whose paths are not in the list yet; answers everything.
    ///
    /// # Errors
    /// `TooLarge`, those of the shelf.
    pub async fn add(&self, tenant: &TenantId, list: List, given: &[Folder]) -> Result<Folders, Refusal> {
        if given.len() > MOST_FOLDERS {
            return Err(TOO_MANY);
        }
        let add = |folders: &mut Folders| {
            let listed = list.of(folders);
            let mut known: HashSet<String> = listed.iter().map(|folder| folder.path.clone()).collect();
            listed.extend(given.iter().filter(|folder| known.insert(folder.path.clone())).cloned());
            if listed.len() > MOST_FOLDERS {
                return Err(TOO_MANY);
            }
            Ok(Change::Write(folders.clone()))
        };
        self.shelves.change(tenant, add).await
    }

    /// # Errors
    /// `Missing`, those of the shelf.
    pub async fn remove(&self, tenant: &TenantId, list: List, path: &str) -> Result<(), Refusal> {
        let remove = |folders: &mut Folders| {
            let listed = list.of(folders);
            let before = listed.len();
            listed.retain(|folder| folder.path != path);
            if listed.len() == before { Err(list.missing()) } else { Ok(Change::Write(())) }
        };
        self.shelves.change(tenant, remove).await
    }
}

impl List {
    fn of(self, folders: &mut Folders) -> &mut Vec<Folder> {
        match self {
            Self::Workspaces => &mut folders.workspaces,
            Self::Parents => &mut folders.parents,
        }
    }

    fn missing(self) -> Refusal {
        Refusal::Missing(match self {
            Self::Workspaces => "Workspace not found".to_owned(),
            Self::Parents => "Workspace parent not found".to_owned(),
        })
    }
}
