//! What the engine's answers mean to a caller.

use bollard::errors::Error as Docker;
use ports::{Error, Result};

use crate::StartError;

/// The engine's own status; `None` when it did not answer.
pub fn status(error: &Docker) -> Option<u16> {
    match error {
        Docker::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

pub fn port(error: Docker) -> Error {
    Error::Unavailable(format!("docker: {error}"))
}

/// For removals: what is gone is removed. What is just going (409) is not yet: its name and its files are still taken.
pub fn gone(removed: std::result::Result<(), Docker>) -> Result<()> {
    match removed {
        Err(error) if !matches!(status(&error), Some(304 | 404)) => Err(port(error)),
        _ => Ok(()),
    }
}

pub fn start(error: Docker, image: &str) -> StartError {
    match error {
        Docker::DockerResponseServerError { status_code: 404, message }
            if message.contains("No such image") =>
        {
            StartError::ImageMissing(image.to_owned())
        }
        Docker::DockerResponseServerError { message, .. } => {
            tracing::warn!(message, "docker refuses a container");
            StartError::Failed(format!("The container cannot be started: {}", without_paths(&message)))
        }
        error => StartError::Unavailable(error.to_string()),
    }
}

/// Clients are not told where things are on the host.
fn without_paths(message: &str) -> String {
    let is_path = |word: &str| word.trim_start_matches(['"', '\'', '(', '[']).starts_with('/');
    let words = message.split_whitespace().map(|word| if is_path(word) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_just_going_is_not_gone() {
        let answered =
            |status_code| Docker::DockerResponseServerError { status_code, message: String::new() };
        assert_eq!(gone(Err(answered(404))), Ok(()));
        assert_eq!(gone(Err(answered(304))), Ok(()), "it had stopped before");
        assert!(matches!(gone(Err(answered(409))), Err(Error::Unavailable(_))));
    }

    #[test]
    fn a_refusal_does_not_tell_where_things_are_on_the_host() {
        let message = r#"exec: "/var/lib/x/worker": stat /var/lib/x/worker: no such file"#;
        assert_eq!(without_paths(message), "exec: … stat … no such file");
    }
}
