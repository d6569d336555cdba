//! Folders as clients send and get them.

use control::workspaces::{Folder, Folders};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{ApiResult, Problem};
use crate::extract::Object;

const MOST_PATH: usize = 4_096;
const MOST_NAME: usize = 256;

#[derive(Deserialize, utoipa::ToSchema)]
pub struct AddWorkspacesRequest {
    #[schema(value_type = Vec<WorkspaceItem>)]
    workspaces: Vec<Object<WorkspaceItem>>,
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct AddWorkspaceParentsRequest {
    #[schema(value_type = Vec<WorkspaceParent>)]
    parents: Vec<Object<WorkspaceParent>>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspacesResponse {
    workspaces: Vec<WorkspaceItem>,
    workspace_parents: Vec<WorkspaceParent>,
}

/// A folder that is offered.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
pub struct WorkspaceItem {
    #[schema(min_length = 1, max_length = 4096)]
    id: String,
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[schema(min_length = 1, max_length = 4096)]
    path: String,
    #[serde(default, rename = "parentPath", alias = "parent_path", skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4096)]
    parent_path: Option<String>,
}

/// A folder whose folders are offered.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
pub struct WorkspaceParent {
    #[schema(min_length = 1, max_length = 4096)]
    id: String,
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    #[schema(min_length = 1, max_length = 4096)]
    path: String,
}

impl AddWorkspacesRequest {
    pub fn into_folders(self) -> ApiResult<Vec<Folder>> {
        let folder = |(index, Object(item)): (usize, Object<WorkspaceItem>)| {
            let place = Place { list: "workspaces", index };
            place.check("parentPath", item.parent_path.as_deref().unwrap_or_default(), 0, MOST_PATH)?;
            place.check_folder(&item.id, &item.name, &item.path)?;
            Ok(Folder::new(item.id, item.name, item.path, item.parent_path))
        };
        self.workspaces.into_iter().enumerate().map(folder).collect()
    }
}

impl AddWorkspaceParentsRequest {
    pub fn into_folders(self) -> ApiResult<Vec<Folder>> {
        let folder = |(index, Object(item)): (usize, Object<WorkspaceParent>)| {
            Place { list: "parents", index }.check_folder(&item.id, &item.name, &item.path)?;
            Ok(Folder::new(item.id, item.name, item.path, None))
        };
        self.parents.into_iter().enumerate().map(folder).collect()
    }
}

impl From<Folders> for WorkspacesResponse {
    fn from(folders: Folders) -> Self {
        let item = |folder: Folder| WorkspaceItem {
            id: folder.id,
            name: folder.name,
            path: folder.path,
            parent_path: folder.parent_path,
        };
        let parent = |folder: Folder| WorkspaceParent { id: folder.id, name: folder.name, path: folder.path };
        Self {
            workspaces: folders.workspaces.into_iter().map(item).collect(),
            workspace_parents: folders.parents.into_iter().map(parent).collect(),
        }
    }
}

/// Where in a body a folder stands.
struct Place {
    list: &'static str,
    index: usize,
}

impl Place {
    fn check_folder(&self, id: &str, name: &str, path: &str) -> ApiResult<()> {
        self.check("id", id, 1, MOST_PATH)?;
        self.check("name", name, 1, MOST_NAME)?;
        self.check("path", path, 1, MOST_PATH)
    }

    fn check(&self, field: &str, text: &str, least: usize, most: usize) -> ApiResult<()> {
        let length = text.chars().count();
        let problem = |kind, msg: String, ctx: Value| {
            let loc = vec!["body".into(), self.list.into(), self.index.into(), field.into()];
            Err(Problem { kind, loc, msg, input: None, ctx: Some(ctx) }.into())
        };
        if length < least {
            let msg = format!("String should have at least {least} character");
            return problem("string_too_short", msg, json!({"min_length": least}));
        }
        if length > most {
            let msg = format!("String should have at most {most} characters");
            return problem("string_too_long", msg, json!({"max_length": most}));
        }
        Ok(())
    }
}
