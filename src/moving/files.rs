//! What lies beside a conversation's events and is meant for its tools: outputs that were too long for an event, and its plan.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use worker::services::extensions;

use super::{folder, is_same};

const OUTPUTS: &str = "observations";
const PLAN: &str = "TASKS.json";
const MOST_PLAN: u64 = 4 << 20;

/// Copies what is there and not here yet. Nothing to do where both are the same folder.
///
/// # Errors
/// In words, what was not copied.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if is_same(from, to) {
        return Ok(());
    }
    let has_outputs = folder::is_folder(&from.join(OUTPUTS)) && !to.join(OUTPUTS).exists();
    let plan = match folder::text(&from.join(PLAN), MOST_PLAN) {
        Ok(plan) if !to.join(PLAN).exists() => Some(plan),
        Ok(_) | Err(folder::Unread::Missing) => None,
        Err(why) => return Err(format!("its plan is not copied: {why}")),
    };
    if !has_outputs && plan.is_none() {
        return Ok(());
    }
    let told = |error: std::io::Error| format!("its files are not copied: {error}");
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(told)?;
    if has_outputs {
        // Whole or not at all: what was cut off is copied again.
        let draft = to.join(format!(".{OUTPUTS}.new"));
        remove(&draft).map_err(told)?;
        extensions::copy(&from.join(OUTPUTS), &draft)
            .map_err(|why| format!("its outputs are not copied: {why}"))?;
        std::fs::rename(&draft, to.join(OUTPUTS)).map_err(told)?;
    }
    match plan {
        Some(plan) => std::fs::write(to.join(PLAN), plan).map_err(told),
        None => Ok(()),
    }
}

/// A draft of ours: it has nothing but what was copied.
fn remove(draft: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_the_plan_come_along_once_and_no_link_does() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join(OUTPUTS)).unwrap();
        std::fs::write(from.join(OUTPUTS).join("terminal_output_1.txt"), "all").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join(OUTPUTS).join("out")).unwrap();
        std::fs::write(from.join(PLAN), "[]").unwrap();
        std::fs::write(from.join("acp"), "secret").unwrap();
        for _ in 0..2 {
            copy(&from, &to).unwrap();
            assert_eq!(
                std::fs::read_to_string(to.join(OUTPUTS).join("terminal_output_1.txt")).unwrap(),
                "all"
            );
            assert_eq!(std::fs::read_to_string(to.join(PLAN)).unwrap(), "[]");
            assert_eq!(folder::names(&to).unwrap(), [PLAN, OUTPUTS]);
            assert_eq!(folder::names(&to.join(OUTPUTS)).unwrap(), ["terminal_output_1.txt"]);
        }
        copy(&from, &from).unwrap();
    }
}
