//! The variables of an agent: what commands inherit, its secrets, and where its files are.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use types::acp::AcpProgram;

use super::folder::Folder;

pub(super) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Secrets stand above what is inherited.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn of(program: &AcpProgram, folder: &Folder) -> io::Result<Self> {
        let mut variables: BTreeMap<OsString, OsString> = child_environment::inherited().collect();
        // Settings of the package manager that may have started this server are not the agent's.
        variables.retain(|name, _| !name.to_string_lossy().to_ascii_lowercase().starts_with("npm_"));
        variables
            .extend(program.env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        if let Some((variable, name)) = &program.data_folder {
            variables.insert(variable.into(), folder.data(name)?.into_os_string());
        }
        for file in &program.files {
            let path = folder.write(&file.folder, &file.name, &file.text)?;
            let named = if file.is_folder_named { path.parent().map(Path::to_owned) } else { Some(path) };
            variables.extend(named.map(|path| (OsString::from(&file.variable), path.into_os_string())));
        }
        for name in &program.without {
            variables.remove(OsStr::new(name));
        }
        Ok(Self(variables))
    }

    pub fn variables(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter()
    }

    /// What is set and not blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Whether the first word of a command is a program on the search path.
    pub fn has_program(&self, command: &[String]) -> bool {
        let (Some(name), Some(search)) = (command.first(), self.get("PATH")) else { return false };
        std::env::split_paths(search).any(|folder| is_program(&folder.join(name)))
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
