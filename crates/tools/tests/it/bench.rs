//! A folder, and the tools of a conversation in it.

use std::fs;
use std::path::{Path, PathBuf};

use manyhands_tools::{Catalogue, ToolContext, ToolSet};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use types::agent::ToolSpec;
use types::tool::{ToolAction, Toolbox as _};

pub struct Bench {
    pub set: ToolSet,
    pub root: PathBuf,
    _folder: TempDir,
}

impl Bench {
    /// With all the tools that agents can ask for.
    pub fn new() -> Self {
        Self::with(&json!({}))
    }

    /// The same, made with these parameters.
    pub fn with(params: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("ws");
        fs::create_dir(&root).unwrap();
        Self { set: set(&root, params), root, _folder: folder }
    }

    /// Tools that are made anew, as after a restart.
    pub fn reopen(&mut self) {
        self.set = set(&self.root, &json!({}));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// All files, with what they hold.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(&self.root).unwrap().to_str().unwrap().to_owned();
                found.push((name, String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()));
            }
        }
        found.sort();
        found
    }

    pub fn action(&self, tool: &str, arguments: &Value) -> ToolAction {
        self.set.parse(tool, arguments.as_object().unwrap()).unwrap().action
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.run(tool, arguments, CancellationToken::new()).await.unwrap()
    }

    pub async fn run(
        &self,
        tool: &str,
        arguments: Value,
        cancel: CancellationToken,
    ) -> Result<Value, String> {
        self.set.run(tool, &self.action(tool, &arguments), cancel).await
    }
}

fn set(root: &Path, params: &Value) -> ToolSet {
    let context = ToolContext::new(root, root.with_file_name("state"));
    let catalogue = Catalogue::standard();
    let spec = |entry: &manyhands_tools::Entry| ToolSpec {
        name: entry.name.to_owned(),
        params: params.get(entry.name).and_then(Value::as_object).cloned().unwrap_or_else(Map::new),
    };
    let specs: Vec<ToolSpec> = catalogue.entries().iter().map(spec).collect();
    ToolSet::new(&catalogue, &specs, &[], &context).unwrap()
}

pub fn text(observation: &Value) -> &str {
    assert_eq!(observation["is_error"], false, "{observation}");
    observation["content"][0]["text"].as_str().unwrap()
}

pub fn error(observation: &Value) -> &str {
    assert_eq!(observation["is_error"], true, "{observation}");
    observation["content"][0]["text"].as_str().unwrap()
}
