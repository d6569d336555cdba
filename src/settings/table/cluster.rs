//! The settings of the roles of a cluster.

use super::Kind::{Amount, Choice, Name, Path, Text, Whole};
use super::{Section, YEAR, setting};

pub(super) const PARTS: Section = Section {
    title: "All parts of a cluster",
    says: "The gateway and the supervisor also read these. No worker reads a setting: the supervisor tells it \
           `OH_MAX_CONCURRENT_RUNS`, `OH_PASS_ENV` and `OH_BASH_EVENTS_RETENTION_SECONDS`, so set them there, \
           and the last one on the gateways as well.",
    settings: &[
        setting(
            "nats_url",
            Text,
            "`nats://127.0.0.1:4222`",
            "Where NATS is: `nats://` or `tls://host:port`, several parted by commas.",
        ),
        setting(
            "keys_dir",
            Path,
            "none",
            "The folder that `manyhands init` made. Each part reads its own folder in it. The files \
             `gateway/secret_key` and `gateway/session_key` count where `OH_SECRET_KEY` and `OH_SESSION_API_KEYS` \
             are not set.",
        ),
        setting("nats_credentials_file", Path, "in `OH_KEYS_DIR`", "What this part signs in to NATS with."),
        setting("nats_minter_file", Path, "in `OH_KEYS_DIR`", "What the supervisor signs workers in with."),
        setting("nats_ca_file", Path, "the system's", "The authority of NATS' certificate as PEM."),
        setting(
            "metrics_address",
            Text,
            "none",
            "`address:port` that shows `/metrics` and `/health` without asking for a key. Only a collector should \
             reach it.",
        ),
        setting(
            "cluster",
            Name,
            "default",
            "Is in the names of containers and volumes, so that two clusters can share a machine. In compose: the project's name.",
        ),
    ],
};

pub(super) const GATEWAY: Section = Section {
    title: "The gateway of a cluster",
    says: "",
    settings: &[
        setting(
            "nats_replicas",
            Choice(&["1", "3", "5"]),
            "as they are, and one of each that is made",
            "How many servers of NATS keep each stream, at least. With three, one may be lost at a time.",
        ),
        setting(
            "sandbox_policy",
            Choice(&["shared", "workspace", "conversation"]),
            "shared",
            "Who shares a sandbox: all of a tenant (`shared`), all of a directory below the root (`workspace`), or \
             nobody (`conversation`). A conversation that is created with `conversation_runtime: docker` always \
             has one of its own.",
        ),
        setting(
            "workspaces_root",
            Path,
            "`/workspace`",
            "Where sandboxes have their files. The path is absolute.",
        ),
        setting(
            "sandbox_start_seconds",
            Whole { least: 1, most: 3_600 },
            "60",
            "How long a call waits for a worker to start.",
        ),
        setting(
            "tenant_budget_usd",
            Amount { least: 0.01, most: 1e9 },
            "none",
            "What all conversations of a tenant together may spend on models.",
        ),
        setting(
            "sandbox_storage_mib",
            Whole { least: 0, most: 1 << 30 },
            "4096",
            "What the conversations and bash events of one sandbox may take up in NATS. Beyond it runs end with a \
             `ConversationErrorEvent`, and what would store more is answered 507. With `0` there is no limit.",
        ),
    ],
};

pub(super) const SUPERVISOR: Section = Section {
    title: "The supervisor of a cluster",
    says: "",
    settings: &[
        setting(
            "sandbox_driver",
            Choice(&["docker", "kubernetes", "process"]),
            "docker",
            "With `kubernetes` sandboxes are pods. With `process` sandboxes are child processes, **with nothing that keeps them apart**, and end with the \
             supervisor.",
        ),
        setting(
            "conversation_image",
            Text,
            "`manyhands-worker`",
            "What containers are made of: any image with bash.",
        ),
        setting(
            "worker_binary",
            Path,
            "`/usr/local/bin/manyhands`",
            "A static build of this program, which is put into the containers.",
        ),
        setting(
            "warm_workers",
            Whole { least: 0, most: 10_000 },
            "0 (compose: 1)",
            "How many sandboxes are kept running for whoever comes next.",
        ),
        setting(
            "sandbox_idle_seconds",
            Whole { least: 0, most: 100 * YEAR },
            "900",
            "A sandbox that nobody used for so long is paused, and the next call wakes it. With `0` none is.",
        ),
        setting("max_sandboxes", Whole { least: 1, most: 1_000_000 }, "no limit", "How many may run."),
        setting(
            "max_sandboxes_per_tenant",
            Whole { least: 1, most: 1_000_000 },
            "no limit",
            "How many of one tenant may run.",
        ),
        setting(
            "sandbox_memory_mib",
            Whole { least: 64, most: 1 << 30 },
            "2048",
            "The memory of one container.",
        ),
        setting(
            "sandbox_cpus",
            Amount { least: 0.01, most: 10_000.0 },
            "2",
            "The processors of one container.",
        ),
        setting(
            "sandbox_processes",
            Whole { least: 16, most: 4_194_304 },
            "512",
            "The processes and threads of one container.",
        ),
        setting(
            "sandbox_runtime",
            Text,
            "the engine's",
            "Such as `runsc`, which must let containers use sockets of the host (`--host-uds=open`) where there is a door.",
        ),
        setting(
            "sandbox_network",
            Text,
            "none",
            "A network that containers are put into. It should be an internal one.",
        ),
        setting(
            "sandbox_door",
            Text,
            "none",
            "The volume with the socket of `manyhands door`, over which workers reach NATS.",
        ),
        setting(
            "worker_nats_url",
            Text,
            "`OH_NATS_URL`",
            "NATS as workers reach it; with a door `unix:///door/nats.sock`.",
        ),
        setting(
            "sandbox_volume",
            Text,
            "one volume a sandbox",
            "One volume for the files of all sandboxes, which the supervisor sees at `/sandboxes`.",
        ),
        setting(
            "sandbox_root",
            Path,
            "`workspace/sandboxes`",
            "With the driver `process`: where sandboxes keep their files.",
        ),
    ],
};
