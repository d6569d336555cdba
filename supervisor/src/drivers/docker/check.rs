//! For who looks for what is wrong.

use ports::Result;

use super::{Containers, error};

impl Containers {
    /// What the engine calls its version.
    ///
    /// # Errors
    /// `Unavailable` when it does not answer.
    pub async fn version(&self) -> Result<String> {
        let version = self.docker.version().await.map_err(error::port)?;
        Ok(version.version.unwrap_or_else(|| "of no known version".to_owned()))
    }

    /// Whether the image of sandboxes that ask for none is there: the engine is not told to fetch it.
    ///
    /// # Errors
    /// `Unavailable` when the engine does not answer.
    pub async fn has_image(&self) -> Result<bool> {
        match self.docker.inspect_image(&self.config.image).await {
            Ok(_) => Ok(true),
            Err(error) if error::status(&error) == Some(404) => Ok(false),
            Err(error) => Err(error::port(error)),
        }
    }
}
