//! The keys of a cluster as Secrets of Kubernetes: one for each folder that `init` makes, with a key for each file. For a moment they
//! are such folders, so that what is done with keys is done in one way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use anyhow::{Context, bail};
use kubernetes::types::{ByteString, ObjectMeta, Secret};
use kubernetes::{Access, Client, Error, Objects};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::settings::Source;

/// The operator's come first: all others can be made of them again, and are the same then.
const PARTS: [&str; 4] = ["operator", "nats", "supervisor", "gateway"];
/// How often it is begun anew because somebody else has written meanwhile.
const ATTEMPTS: usize = 5;

#[derive(clap::Args)]
pub struct Place {
    /// Keep the keys in Secrets of Kubernetes, `RELEASE-operator` and so on, and in no folder
    #[arg(long, requires = "release", conflicts_with = "dir")]
    kubernetes: bool,
    /// How the names of the Secrets begin
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    release: Option<String>,
    /// Where the Secrets are [default: where this pod is, or as KUBECONFIG says]
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    namespace: Option<String>,
}

impl Place {
    /// The beginning of the names, where Secrets are meant.
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref().filter(|_| self.kubernetes)
    }

    /// Does `work` on a folder that holds what the Secrets do. It is given what puts the folder's files into the Secrets, which
    /// it calls before anything relies on them. Where somebody else has written meanwhile, all is done anew with what they wrote.
    ///
    /// # Errors
    /// That of `work`, or that the Secrets cannot be read or written.
    pub fn with_folder<T>(
        &self,
        release: &str,
        source: &Source,
        mut work: impl FnMut(&Path, &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let files = source.variable("KUBECONFIG");
        let access = files.map_or(Access::Inferred, |files| Access::Files(files.into()));
        let client = runtime.block_on(Client::new(access, self.namespace.clone()));
        let objects = client.context("Kubernetes cannot be reached")?.objects();
        for _ in 0..ATTEMPTS {
            let folder = tempfile::tempdir().context("there is no room for keys")?;
            let mut kept = Kept { runtime: &runtime, objects: &objects, release, secrets: BTreeMap::new() };
            kept.read(folder.path())?;
            let worked = work(folder.path(), &mut || kept.write(folder.path()));
            match worked {
                Err(error) if error.is::<Lost>() => {}
                // The folder is gone by the time that this is read.
                worked => return worked.map_err(|error| named(&error, folder.path(), release)),
            }
        }
        bail!("others write the Secrets of {release} all the time")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("somebody else has written the Secret")]
struct Lost;

fn named(error: &anyhow::Error, folder: &Path, release: &str) -> anyhow::Error {
    anyhow::Error::msg(
        format!("{error:#}").replace(&format!("{}/", folder.display()), &format!("{release}-")),
    )
}

struct Kept<'a> {
    runtime: &'a Runtime,
    objects: &'a Objects<Secret>,
    release: &'a str,
    /// As they were seen last.
    secrets: BTreeMap<&'static str, Secret>,
}

type Files = BTreeMap<String, ByteString>;

impl Kept<'_> {
    fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.release)
    }

    fn read(&mut self, folder: &Path) -> anyhow::Result<()> {
        for part in PARTS {
            let name = self.name(part);
            let found = self.runtime.block_on(self.objects.find(&name));
            let Some(secret) = found.with_context(|| format!("cannot read the Secret {name}"))? else {
                continue;
            };
            fs::create_dir(folder.join(part))?;
            for (file, content) in secret.data.iter().flatten() {
                let is_name = Path::new(file).components().eq([Component::Normal(file.as_ref())]);
                anyhow::ensure!(is_name, "the Secret {name} has a key that is no name of a file");
                let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
                options.open(folder.join(part).join(file))?.write_all(&content.0)?;
            }
            self.secrets.insert(part, secret);
        }
        Ok(())
    }

    /// Each Secret is written whole or not at all, and none in the place of what was not read.
    fn write(&mut self, folder: &Path) -> anyhow::Result<()> {
        for part in PARTS {
            let (name, files) = (self.name(part), files(&folder.join(part))?);
            let written = match self.secrets.get(part) {
                None if files.is_empty() => continue,
                None => self.runtime.block_on(self.objects.create(&self.secret(&name, files))),
                Some(secret) => match change(secret, &files)? {
                    None => continue,
                    Some(change) => self.runtime.block_on(self.objects.merge(&name, &change)),
                },
            };
            match written {
                Ok(secret) => drop(self.secrets.insert(part, secret)),
                Err(Error::AlreadyExists(_) | Error::Conflict(_) | Error::NotFound(_)) => {
                    return Err(Lost.into());
                }
                Err(error) => return Err(error).with_context(|| format!("cannot write the Secret {name}")),
            }
        }
        Ok(())
    }

    fn secret(&self, name: &str, files: Files) -> Secret {
        let labels = [
            ("app.kubernetes.io/name", "manyhands"),
            ("app.kubernetes.io/instance", self.release),
            ("app.kubernetes.io/managed-by", "manyhands-init"),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let metadata =
            ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
        Secret { metadata, data: Some(files), ..Secret::default() }
    }
}

fn files(folder: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let content = fs::read(entry.path())?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), ByteString(content));
        }
    }
    Ok(files)
}

/// What makes of the Secret that was seen, and of no later one, what the files are. `None`: it is so.
fn change(secret: &Secret, files: &Files) -> anyhow::Result<Option<Value>> {
    let known = secret.data.clone().unwrap_or_default();
    let mut data = serde_json::Map::new();
    for (name, content) in files.iter().filter(|(name, content)| known.get(*name) != Some(content)) {
        data.insert(name.clone(), serde_json::to_value(content)?);
    }
    for name in known.keys().filter(|name| !files.contains_key(*name)) {
        data.insert(name.clone(), Value::Null);
    }
    let version = &secret.metadata.resource_version;
    Ok((!data.is_empty()).then(|| json!({"metadata": {"resourceVersion": version}, "data": data})))
}
