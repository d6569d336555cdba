//! What looks like a secret.

/// Anywhere in a name: these words hardly stand in a name that is none of a secret.
const PARTS: [&str; 8] =
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CONNECTION_STRING"];

/// Between underscores only: `PATH` is no `PAT`.
const WORDS: [&str; 11] =
    ["PAT", "PWD", "PASS", "AUTH", "DSN", "COOKIE", "COOKIES", "SESSION", "HEADERS", "JWT", "NETRC"];

/// Databases are reached with a password in the URL more often than not.
const ENDS: [&str; 3] = ["DATABASE_URL", "DB_URL", "WEBHOOK_URL"];

pub fn is_name_of_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    PARTS.iter().any(|part| name.contains(part))
        || name.split('_').any(|word| WORDS.contains(&word))
        || ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a URL in `text` has something before an `@` in front of its host: a password, or a token.
pub fn is_url_with_user(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(|c: char| matches!(c, '/' | '?' | '#') || c.is_whitespace()).next();
        authority.is_some_and(|authority| authority.contains('@'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_others_are_not() {
        for name in
            ["AWS_SECRET_ACCESS_KEY", "MYSQL_PWD", "GH_PAT", "github_token", "SENTRY_DSN", "DATABASE_URL"]
        {
            assert!(is_name_of_secret(name), "{name}");
        }
        for name in ["PATH", "GOPATH", "LANG", "JAVA_HOME", "PIP_INDEX_URL", "COMPASS", "PATTERN"] {
            assert!(!is_name_of_secret(name), "{name}");
        }
    }

    #[test]
    fn a_user_in_any_url_of_a_value_is_seen() {
        for text in ["https://u:p@host/x", "https://a/simple https://token@b/simple", "postgres://u:p@/db"] {
            assert!(is_url_with_user(text), "{text}");
        }
        for text in ["https://host/@scope/name", "user@host", "https://host", "/a/path"] {
            assert!(!is_url_with_user(text), "{text}");
        }
    }
}
