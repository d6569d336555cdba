//! Every setting there is: its name, what it may be, what it is by default, and what it does. What is read is
//! checked against this, and `docs/SETTINGS.md` is made from it. One rule holds for all: an empty value is an
//! unset one, and a value that cannot be meant ends the start.

mod cluster;
mod kubernetes;

use Kind::{Amount, Choice, Flag, List, Objects, Path, Text, Whole};

/// One setting: `OH_` and its field in capitals, or the field in the config file.
pub struct Setting {
    /// In lower case.
    pub field: &'static str,
    pub kind: Kind,
    /// As a reader of the documents sees it.
    pub default: &'static str,
    pub says: &'static str,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    Path,
    /// What instances are called after: letters, digits, `_`, `.` and `-`, the first one a letter or digit.
    Name,
    Flag,
    Choice(&'static [&'static str]),
    List,
    /// A list of objects with these fields.
    Objects(&'static [&'static str]),
    /// A whole number in these bounds.
    Whole {
        least: u64,
        most: u64,
    },
    /// A number in these bounds.
    Amount {
        least: f64,
        most: f64,
    },
}

/// A part of the page of settings.
pub struct Section {
    pub title: &'static str,
    pub says: &'static str,
    pub settings: &'static [Setting],
}

const fn setting(field: &'static str, kind: Kind, default: &'static str, says: &'static str) -> Setting {
    Setting { field, kind, default, says }
}

const YEAR: u64 = 366 * 24 * 3_600;

/// The setting of this field.
pub fn find(field: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.field == field)
}

pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// The most letters of a [`Kind::Name`].
pub const NAME_CHARS: usize = 40;

pub const SECTIONS: &[Section] = &[
    Section {
        title: "Who may call",
        says: "Without keys and tokens the server is open to whoever reaches it, and then it listens on loopback \
               only. Another `OH_HOST` takes `OH_ALLOW_OPEN_SERVER` then.",
        settings: &[
            setting(
                "host",
                Text,
                "`127.0.0.1`, with keys or tokens `0.0.0.0` (the server's images: `0.0.0.0`)",
                "Where to listen: an address of this machine, or a name that has one. `--host` counts more.",
            ),
            setting(
                "allow_open_server",
                Flag,
                "false (the server's images: `true`)",
                "The same as `--allow-open-server`: it may listen beyond loopback without keys and tokens, where `OH_HOST` or \
                 `--host` says so. Everyone who reaches the port can run commands. A gateway of a cluster takes the flag alone.",
            ),
            setting(
                "session_api_keys",
                List,
                "none",
                "Any of these keys opens the API, in the header `X-Session-API-Key`. To rotate a key, add the new one \
                 with the next number, move the clients, then give the remaining keys the numbers from 0 again. \
                 `SESSION_API_KEY` is the older name of a single key, which counts where there is no other.",
            ),
            setting(
                "jwt_algorithm",
                Choice(&["HS256", "EdDSA", "RS256"]),
                "none: no tokens",
                "`Authorization: Bearer` tokens that are signed with this algorithm open the API too.",
            ),
            setting("jwt_secret", Text, "none", "For HS256: the issuer's secret, of 32 bytes or more."),
            setting(
                "jwt_previous_secrets",
                List,
                "none",
                "For HS256: secrets whose tokens still count. The old secret stays here until its tokens have expired.",
            ),
            setting(
                "jwt_public_key_file",
                Path,
                "none",
                "For EdDSA and RS256: one or more public keys of the issuer as PEM. The file is read again when it changes.",
            ),
            setting(
                "jwt_jwks_file",
                Path,
                "none",
                "The same as a JWK set, in which tokens name their key by `kid`.",
            ),
            setting("jwt_issuer", Text, "none, needed for tokens", "What `iss` of a token must be."),
            setting(
                "jwt_audience",
                Text,
                "none, needed for tokens",
                "What `aud` of a token must be or hold.",
            ),
            setting(
                "jwt_leeway_seconds",
                Whole { least: 0, most: 600 },
                "30",
                "How far the issuer's clock may be off.",
            ),
            setting(
                "allow_cors_origins",
                List,
                "none",
                "Origins of web pages that may call the API. Those of `localhost` and `127.0.0.1` always may.",
            ),
            setting(
                "allow_cors_origin_regex",
                Text,
                "none",
                "The same as a pattern that matches the whole origin.",
            ),
            setting(
                "allowed_hosts",
                List,
                "loopback names",
                "Host names that a server without keys answers to.",
            ),
            setting(
                "plaintext_secrets",
                Flag,
                "true",
                "Whether `X-Expose-Secrets: plaintext` is heeded, for callers that may write; for web pages it never is. A named \
                 secret is given out by its name all the same.",
            ),
            setting(
                "trust_forwarded_headers",
                Flag,
                "false",
                "Believe `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-For` of a proxy in front, which has to set them: \
                 of the last one, the address that it has added itself.",
            ),
        ],
    },
    Section {
        title: "How much each may ask for",
        says: "Who asks for more is answered 429, with `Retry-After`. `/health`, `/alive` and `/ready` are always answered. An address \
               of version 6 counts with the 64 bits below it as one. In a cluster each gateway counts for itself.",
        settings: &[
            setting(
                "max_requests_per_second_per_address",
                Whole { least: 1, most: 1_000_000 },
                "no limit",
                "From one address, in the long run; ten times as many at once. Behind a proxy it takes `OH_TRUST_FORWARDED_HEADERS`: \
                 all clients come from one address else.",
            ),
            setting(
                "max_requests_per_second_per_key",
                Whole { least: 1, most: 1_000_000 },
                "no limit",
                "The same with one session key, or one bearer token; and as many with the cookies that were made for it, which pages have.",
            ),
            setting(
                "max_requests_per_second_per_tenant",
                Whole { least: 1, most: 1_000_000 },
                "no limit",
                "The same for one tenant, whatever its keys and tokens. All session keys are of one tenant.",
            ),
            setting(
                "max_connections_per_address",
                Whole { least: 1, most: 1_000_000 },
                "no limit",
                "How many connections, sockets among them, may be open from one address: of a proxy, from all that it serves.",
            ),
            setting(
                "min_body_bytes_per_second",
                Whole { least: 0, most: 1_000_000 },
                "256",
                "A body that comes more slowly is given up (408) after 30 seconds; as long may be the pauses of one that does not. \
                 With `0` it may take any time in which no hour passes without a byte.",
            ),
        ],
    },
    Section {
        title: "The server",
        says: "",
        settings: &[
            setting(
                "secret_key",
                Text,
                "made once and kept in `workspace/.manyhands/secret_key`",
                "Seals keys of models and secrets on the disk. In a cluster all gateways share it.",
            ),
            setting(
                "previous_secret_keys",
                List,
                "none",
                "Open what older keys have sealed. New values are sealed with the current one.",
            ),
            setting(
                "conversations_path",
                Path,
                "`workspace/conversations`",
                "Has one folder a conversation. The server's own state lies beside it in `.manyhands/`.",
            ),
            setting(
                "conversation_worktree_root",
                Path,
                "`/tmp/conversation-worktrees`",
                "Has the working trees that conversations have for themselves. In a cluster those of workspaces lie in `.worktrees` beside them. Name one elsewhere on a machine of several users, or one that clears its temporary folder: what is not committed goes with it.",
            ),
            setting(
                "bash_events_dir",
                Path,
                "`workspace/bash_events`",
                "What commands of the API have printed.",
            ),
            setting(
                "bash_events_retention_seconds",
                Whole { least: 1, most: 100 * YEAR },
                "keep it",
                "Forget it after so long.",
            ),
            setting(
                "workspace_path",
                Path,
                "`workspace/project`",
                "Where commands without a `cwd` run, and conversations that name no directory.",
            ),
            setting(
                "web_url",
                Text,
                "none",
                "The URL under which a proxy shows the server. Its path is served as a prefix too, and clients may name the server by it.",
            ),
            setting(
                "runtime_idle_timeout_seconds",
                Amount { least: 1.0, most: 1e9 },
                "none",
                "Clients are told it in `/server_info`. Nothing here acts on it.",
            ),
            setting(
                "max_concurrent_runs",
                Whole { least: 1, most: 100_000 },
                "10",
                "How many conversations may run at once, in a cluster in each worker. More are answered 429.",
            ),
            setting(
                "pass_env",
                List,
                "none",
                "Variables that programs of agents inherit beside the usual ones, by exact name or by a pattern with one `*` \
                 such as `MY_*`. What looks like a secret is inherited only where it is named exactly.",
            ),
            setting(
                "private_addresses",
                Choice(&["allow", "refuse"]),
                "`allow` in one process, `refuse` in a cluster (compose: `allow`)",
                "Whether models, servers of secrets and whatever else clients name may be on this machine or on its own \
                 network. A model server of your own needs it. Link-local addresses, and those at which clouds describe \
                 their machines, are never called.",
            ),
            setting(
                "private_hosts",
                List,
                "none",
                "Hosts that may be on a private address where others may not: `name` or `name:port`, such as \
                 `vllm.models.svc.cluster.local:8000`. It counts for what the server itself calls.",
            ),
            setting(
                "allow_private_model_hosts",
                Flag,
                "none",
                "The older name of `OH_PRIVATE_ADDRESSES`: `true` is `allow`, `false` is `refuse`.",
            ),
            setting(
                "persistence_dir",
                Path,
                "`~/.openhands`",
                "Where skills, plugins and extensions of the user interface that are installed are put, beside those that \
                 the user keeps there; by a server of one process.",
            ),
            setting(
                "registered_marketplaces",
                Objects(&["name", "source", "ref", "repo_path", "auto_load"]),
                "none",
                "Catalogues of skills that clients are shown beside those that they name themselves, which count more by name: \
                 `OH_REGISTERED_MARKETPLACES_0_NAME` and the other fields of each, or all as one JSON array. `auto_load` is `true` \
                 for all skills of it, or a JSON array of names. At most 8, and none with a secret in its address: workers get it.",
            ),
            setting(
                "webhooks",
                Objects(&[
                    "base_url",
                    "headers",
                    "event_buffer_size",
                    "flush_delay",
                    "num_retries",
                    "retry_delay",
                    "max_queue_size",
                    "max_batch_bytes",
                    "max_queue_bytes",
                ]),
                "none",
                "Addresses that are told of conversations and of their events: `OH_WEBHOOKS_0_BASE_URL` and the other fields of each, \
                 or all as one JSON array. `headers` is a JSON object. They get the first session key. docs/webhooks.md says what \
                 each field does. At most 16.",
            ),
            setting(
                "enable_vscode",
                Flag,
                "true",
                "Whether there may be an editor in the browser. It is started when somebody opens it, by a server of one \
                 process, if `/openhands/.openvscode-server` is there.",
            ),
            setting(
                "vscode_port",
                Whole { least: 1, most: 65_535 },
                "8001",
                "Where the editor listens, on all addresses. Whoever has its token reaches the files of the workspace.",
            ),
            setting(
                "vscode_base_path",
                Text,
                "none",
                "A path that all pages of the editor are below, for a proxy in front.",
            ),
            setting(
                "app_backend_public_url",
                Text,
                "none",
                "An origin of its own at which browsers reach this server, say `https://apps.example`: there programs that \
                 extensions of the user interface bring along show their pages. Without it they are not shown. With https it takes \
                 `OH_TRUST_FORWARDED_HEADERS` and a proxy that sets those.",
            ),
            setting(
                "deferred_init",
                Flag,
                "false",
                "Whether a server of one process is started without its settings, answers probes and `/server_info` alone, and waits \
                 for them: `POST /api/init` brings them, with the secret key (or else the first session key) that it was started with in \
                 `X-Init-API-Key`. Variables that it brings are for programs of agents: proxies, logs and traces of the server itself are \
                 as they were at the start. With such a key it listens beyond loopback.",
            ),
            setting(
                "fsync",
                Choice(&["always", "interval"]),
                "always",
                "With `interval` an event is acknowledged when the operating system has it, and synced within 50 ms.",
            ),
            setting(
                "conversation_runtime",
                Choice(&["local"]),
                "local",
                "Kept for configurations of the server this one replaces.",
            ),
        ],
    },
    cluster::PARTS,
    cluster::GATEWAY,
    cluster::SUPERVISOR,
    kubernetes::PODS,
];
