//! Why an agent says nothing, in the codes that clients know.

use std::io;
use std::time::Duration;

use jsonrpc::Broken;
use types::acp::{AcpDiscovery, AcpFailure};

const MOST_DETAIL: usize = 500;
const AUTHENTICATION_REQUIRED: i64 = -32_000;

/// Agents tell of a missing login in many ways, some as an internal error.
const SIGNS_OF_LOGIN: [&str; 9] = [
    "unauthorized",
    "invalid api key",
    "invalid_api_key",
    "invalid x-api-key",
    "expired",
    "please run /login",
    "authentication required",
    "oauth token",
    "credential",
];

pub(super) fn not_started(error: &io::Error) -> AcpDiscovery {
    match error.kind() {
        io::ErrorKind::NotFound => failure("ACPSpawnError", "The program was not found."),
        io::ErrorKind::PermissionDenied => failure("ACPSpawnError", "The program may not be started."),
        _ => failure("ACPInitError", "The program cannot be started."),
    }
}

pub(super) fn too_slow(patience: Duration) -> AcpDiscovery {
    let detail = format!(
        "ACP startup timed out after {:.0}s waiting for the ACP server to spawn, authenticate, and create/load a session",
        patience.as_secs_f64()
    );
    failure("ACPStartupTimeout", &detail)
}

pub(super) fn broken(broken: &Broken) -> AcpDiscovery {
    match broken {
        Broken::Ended => failure("ACPInitError", "Connection lost"),
        Broken::TooLarge => failure("ACPInitError", "The agent sent more than is taken."),
        Broken::Refused { code, message, data } => {
            let needs_login =
                *code == AUTHENTICATION_REQUIRED || tells_of_login(&format!("{message} {data}"));
            let more = if data.is_empty() || data == message { String::new() } else { format!(": {data}") };
            let kind = if needs_login { "ACPAuthRequired" } else { "ACPInitError" };
            failure(kind, &format!("[{code}] {message}{more}"))
        }
    }
}

fn tells_of_login(words: &str) -> bool {
    let words = words.to_lowercase();
    let mut single = words.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    SIGNS_OF_LOGIN.iter().any(|sign| words.contains(sign)) || single.any(|word| matches!(word, "401" | "403"))
}

fn failure(code: &str, detail: &str) -> AcpDiscovery {
    let detail = detail.chars().take(MOST_DETAIL).collect();
    AcpDiscovery { error: Some(AcpFailure { code: code.to_owned(), detail }), ..AcpDiscovery::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_login_is_told_from_other_refusals() {
        for (code, message, data, expected) in [
            (-32_000, "no", "", "ACPAuthRequired"),
            (-32_603, "Internal error", "upstream said 401", "ACPAuthRequired"),
            (-32_603, "Invalid API key", "", "ACPAuthRequired"),
            (-32_603, "took 4031ms", "model-id-401b", "ACPInitError"),
        ] {
            let (message, data) = (message.to_owned(), data.to_owned());
            let found = broken(&Broken::Refused { code, message, data }).error.unwrap();
            assert_eq!(found.code, expected, "{found:?}");
        }
        let refused = Broken::Refused { code: -1, message: "m".to_owned(), data: "d".to_owned() };
        assert_eq!(broken(&refused).error.unwrap().detail, "[-1] m: d");
    }
}
