//! Why keys and credentials cannot be used.

use std::io;
use std::path::PathBuf;

/// Never names a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path} cannot be used", path = path.display())]
    File { path: PathBuf, source: io::Error },
    /// A file of keys or credentials that was altered, or belongs to something else.
    #[error("{0} does not hold what it should")]
    Damaged(PathBuf),
    #[error("{orphan} belongs to keys that are not in {operator}: bring them back, or remove the whole folder", orphan = orphan.display(), operator = operator.display())]
    NoKeys { operator: PathBuf, orphan: PathBuf },
    #[error("{0} does not hold the operator's keys: bring the folder back to where they can be used")]
    NoOperator(PathBuf),
    #[error("not a key of the right kind")]
    Key(#[from] nkeys::error::Error),
    #[error("not a token of a NATS user")]
    NotAUser,
    #[error("the credentials are of another cluster")]
    Foreign,
    /// What the server answered to an update of an account.
    #[error("the server refused: {0}")]
    Refused(String),
}

pub type Result<T> = std::result::Result<T, Error>;
