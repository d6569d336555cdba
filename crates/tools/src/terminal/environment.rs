//! What the shell inherits from the server: a short list of harmless names, never its keys.

use std::ffi::OsString;

const INHERITED: [&str; 21] = [
    "PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "NIX_SSL_CERT_FILE",
    "DENO_CERT",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
];

const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment of a new shell, made from the server's `environment`.
pub fn for_shell(environment: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let mut shell: Vec<_> = environment.filter(|(name, _)| name.to_str().is_some_and(is_inherited)).collect();
    if !has(&shell, |name| name == "PATH") {
        shell.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    if !has(&shell, |name| matches!(name, "LANG" | "LC_ALL" | "LC_CTYPE")) {
        shell.push(("LANG".into(), "C.UTF-8".into()));
    }
    // `dumb`: the reader is a model, so programs had better not draw.
    let fixed = [("TERM", "dumb"), ("PAGER", "cat"), ("GIT_PAGER", "cat"), ("AI_AGENT", "openhands")];
    shell.extend(fixed.map(|(name, value)| (name.into(), value.into())));
    shell
}

fn is_inherited(name: &str) -> bool {
    INHERITED.contains(&name)
        || name.starts_with("LC_")
        || PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

fn has(environment: &[(OsString, OsString)], wanted: impl Fn(&str) -> bool) -> bool {
    environment.iter().any(|(name, _)| name.to_str().is_some_and(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_names_reach_the_shell() {
        let server = [
            ("OH_SECRET_KEY", "s"),
            ("SESSION_API_KEY", "k"),
            ("AWS_SECRET_ACCESS_KEY", "a"),
            ("PATH", "/bin"),
            ("LC_TIME", "C"),
            ("LANG", "de_DE.UTF-8"),
            ("HTTPS_proxy", "http://p"),
            ("TERM", "xterm"),
        ];
        let server = server.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let shell = for_shell(server.into_iter());
        let names: Vec<_> = shell.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(
            names,
            ["PATH", "LC_TIME", "LANG", "HTTPS_proxy", "TERM", "PAGER", "GIT_PAGER", "AI_AGENT"]
        );
    }
}
