//! Which server is meant: one that is named, or one in this process.

use std::path::{Path, PathBuf};

use anyhow::Context;
use secrecy::SecretString;

use super::api::Api;
use super::embedded::Embedded;
use super::{Told, Usage};
use crate::settings::{Settings, Source};

/// Bytes of a file with a key.
const LONGEST_KEY: usize = 4096;

#[derive(clap::Args, Clone)]
pub struct Place {
    /// The server to use [default: MANYHANDS_URL; where that is not set, this process is the server]
    #[arg(long, value_name = "URL", global = true)]
    pub server: Option<String>,
    /// A file with the server's key [default: MANYHANDS_KEY, else OH_SESSION_API_KEYS_0, else SESSION_API_KEY]
    #[arg(long, value_name = "FILE", global = true)]
    pub key_file: Option<PathBuf>,
    /// Where a server in this process keeps conversations [default: OH_CONVERSATIONS_PATH and its like, else
    /// ~/.local/state/manyhands]
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "server")]
    pub data: Option<PathBuf>,
}

/// A server that answers.
pub struct Connected {
    pub api: Api,
    own: Option<Embedded>,
}

impl Place {
    /// # Errors
    /// Where the server cannot be meant, or the one in this process does not start.
    pub async fn connect(&self, told: Told) -> anyhow::Result<Connected> {
        let Told { settings, source } = told;
        let named = self.server.as_deref().or_else(|| source.variable("MANYHANDS_URL"));
        if let Some(server) = named.filter(|_| self.data.is_none()) {
            return Ok(Connected { api: Api::new(server, self.key(&source)?)?, own: None });
        }
        let settings = self.kept_apart(settings, &source)?;
        let (api, own) = Embedded::start(settings).await?;
        Ok(Connected { api, own: Some(own) })
    }

    /// What a command line says to mean the same again, with a space before it.
    pub fn again(&self) -> String {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let given = [
            ("--server", self.server.clone()),
            ("--key-file", path(&self.key_file)),
            ("--data", path(&self.data)),
        ];
        let words = given.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        let words: Vec<String> = words.flatten().collect();
        let joined = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
        if joined.is_empty() { joined } else { format!(" {joined}") }
    }

    fn key(&self, source: &Source) -> anyhow::Result<Option<SecretString>> {
        let Some(path) = &self.key_file else {
            let named = ["MANYHANDS_KEY", "OH_SESSION_API_KEYS_0", "SESSION_API_KEY"];
            let key = named.iter().find_map(|name| source.variable(name));
            return Ok(key.filter(|key| !key.is_empty()).map(SecretString::from));
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the key file {}", path.display()))?;
        let key = text.trim();
        match key.is_empty() || key.len() > LONGEST_KEY || key.contains(char::is_whitespace) {
            true => Err(Usage(format!("{} holds no key", path.display())).into()),
            false => Ok(Some(key.into())),
        }
    }

    /// Beside what the current folder holds, unless it is said otherwise: that is for the agent's work.
    fn kept_apart(&self, mut settings: Settings, source: &Source) -> anyhow::Result<Settings> {
        settings.workspace_path = std::env::current_dir().context("the current folder is gone")?;
        let data = match &self.data {
            Some(data) => data.clone(),
            None => match data(source)? {
                Some(usual) => usual,
                None => return Ok(settings),
            },
        };
        settings.conversations_path = data.join("conversations");
        settings.bash_events_dir = data.join("bash_events");
        Ok(settings)
    }
}

impl Connected {
    /// Whether the server is in this process: then it sees the same files.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends the server, if it is in this process.
    ///
    /// # Errors
    /// Where a part of it has failed.
    pub async fn close(self) -> anyhow::Result<()> {
        match self.own {
            Some(own) => own.stop().await,
            None => Ok(()),
        }
    }
}

/// Where conversations are kept of which nobody says where; `None`: a setting says it.
///
/// # Errors
/// Where there is no such place.
pub fn data(source: &Source) -> anyhow::Result<Option<PathBuf>> {
    if source.text("conversations_path")?.is_some() {
        return Ok(None);
    }
    let absolute = |name: &str| source.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(Path::new(".local/state"))));
    let state = state.ok_or_else(|| {
        Usage("there is no HOME to keep conversations in: name a folder with --data".to_owned())
    })?;
    Ok(Some(state.join("manyhands")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_given_again_and_nothing_else() {
        let mut place = Place { server: None, key_file: None, data: None };
        assert_eq!(place.again(), "");
        place.data = Some("/tmp/my data".into());
        assert_eq!(place.again(), " --data '/tmp/my data'");
        let server = Some("http://127.0.0.1:8000".to_owned());
        let place = Place { server, key_file: Some("k".into()), data: None };
        assert_eq!(place.again(), " --server http://127.0.0.1:8000 --key-file k");
    }
}
