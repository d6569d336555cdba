//! Names of profiles, of secrets and of extensions, in paths and bodies.

use types::extensions::{self, MOST_NAME};

use crate::error::{ApiError, Problem};

/// What names of profiles look like.
pub const PROFILE_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
/// What names of secrets that are kept look like.
pub const SECRET_NAME: &str = "^[A-Za-z][A-Za-z0-9_]{0,63}$";
const MOST: usize = 64;

/// # Errors
/// For what is no name of a profile.
pub fn check_profile_name(name: &str, loc: &[&str]) -> Result<(), ApiError> {
    if is_profile_name(name) { Ok(()) } else { Err(Problem::mismatch(loc, PROFILE_NAME).into()) }
}

/// For what is no name of an extension, with the pattern that clients know.
///
/// # Errors
/// 422 at `parameter` of the path, and 404 as [`check_profile_path`].
pub fn check_extension_name(name: &str, parameter: &str, pattern: &str) -> Result<(), ApiError> {
    if name.contains('/') {
        return Err(ApiError::not_found());
    }
    let loc = ["path", parameter];
    if name.len() > MOST_NAME {
        return Err(Problem::too_long(&loc, MOST_NAME).into());
    }
    if extensions::is_name(name) { Ok(()) } else { Err(Problem::mismatch(&loc, pattern).into()) }
}

/// The same of a name in the path. One with a slash, which can only come escaped, names nothing at all.
///
/// # Errors
/// As [`check_profile_name`], and 404.
pub fn check_profile_path(name: &str) -> Result<(), ApiError> {
    if name.contains('/') { Err(ApiError::not_found()) } else { check_profile_name(name, &["path", "name"]) }
}

/// Whether a profile can have this name.
#[must_use]
pub fn is_profile_name(name: &str) -> bool {
    let is_inner = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'_' | b'-');
    name.len() <= MOST
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_profiles_are_those_of_the_pattern() {
        for name in ["a", "p2.json", "a..b", "x.", "0_-", &"a".repeat(64)] {
            assert!(is_profile_name(name), "{name}");
        }
        for name in ["", ".a", "-", "../x", "a b", "ä", "a/b", "a\n", &"a".repeat(65)] {
            assert!(!is_profile_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_name_in_a_path_is_kebab_case() {
        let fits = |name: &str| check_extension_name(name, "skill_name", "p").is_ok();
        for name in ["a", "my-skill", "a1-2b", &"a".repeat(255)] {
            assert!(fits(name), "{name}");
        }
        for name in ["", "A", "Bad_Name", "a--b", "-a", "a-", "..", "a/b", "a b", "ä", &"a".repeat(256)] {
            assert!(!fits(name), "{name}");
        }
    }
}
