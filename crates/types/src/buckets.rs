//! The buckets of the key-value store: their names, and how long a value lives where that is limited.

use std::time::Duration;

/// Conversation records, by id in hex. Written by gateways.
pub const CONVERSATIONS: &str = "CONVERSATIONS";
/// Stored folds of logs, by conversation id in hex: only there to start sooner.
pub const PROJECTIONS: &str = "PROJECTIONS";
/// [`crate::placement::Wanted`], by sandbox.
pub const SANDBOXES: &str = "SANDBOXES";
/// Which sandbox stands for a place: `<tenant>.<place in hex>` → sandbox. Written by gateways.
pub const PLACES: &str = "PLACES";
/// [`crate::placement::Allocation`], by sandbox. Written by the supervisor.
pub const ALLOCATIONS: &str = "ALLOCATIONS";
/// [`crate::placement::Lease`], by sandbox; the supervisors' own under [`SUPERVISOR_KEY`], and [`DEPUTIES_KEY`].
pub const LEASES: &str = "LEASES";
/// Answers to calls with an Idempotency-Key. Written by gateways.
pub const IDEMPOTENCY: &str = "IDEMPOTENCY";
/// What was spent, by conversation and by tenant. Written by the brokers.
pub const BUDGETS: &str = "BUDGETS";
/// Bytes that the logs of a sandbox hold, by sandbox. Written by gateways.
pub const STORED: &str = "STORED";
/// What tenants keep, one document each, by tenant: settings and profiles.
pub const SETTINGS: &str = "SETTINGS";
/// The same: named secrets.
pub const SECRETS: &str = "SECRETS";
/// The same: folders that the user interface offers.
pub const WORKSPACES: &str = "WORKSPACES";
/// The same: what is installed.
pub const EXTENSIONS: &str = "EXTENSIONS";
/// The pieces of what is installed: `<tenant>.<digest>.<n>`.
pub const EXTENSION_PARTS: &str = "EXTENSION_PARTS";
/// What tenants keep, by tenant: logins with providers, and those under way.
pub const LOGINS: &str = "LOGINS";
/// Places of working trees ([`crate::worktree::Place`]) that are still to be removed, as their conversations are deleted: by
/// sandbox. Written by gateways.
pub const LEFT_TREES: &str = "LEFT_TREES";

/// How far each webhook was told of each conversation, since when there are webhooks, and which gateway tells them.
pub const WEBHOOKS: &str = "WEBHOOKS";
/// What webhooks are still to be told of conversations that were deleted: `<webhook>.<conversation>.<made at>`, and the pieces
/// of it with a name behind that.
pub const WEBHOOK_ENDS: &str = "WEBHOOK_ENDS";

/// What gateways write and read to see whether the store works.
pub const PROBE: &str = "PROBE";
/// Which secret key gateways have, in [`PROBE`].
pub const KEY_NOTE: &str = "secret_key";
/// Which import goes on in a cluster, in [`PROBE`].
pub const IMPORT: &str = "import";

/// Which supervisor schedules, in [`LEASES`].
pub const SUPERVISOR_KEY: &str = "_supervisor";

/// That workers are served, in [`LEASES`]: written [again and again](SERVING_EVERY) by each gateway that does.
pub const DEPUTIES_KEY: &str = "_deputies";
pub const SERVING_EVERY: Duration = Duration::from_secs(2);

/// What is fixed once for a cluster. Not a bucket of the port: only the adapter of a cluster knows it.
pub const CLUSTER: &str = "CLUSTER";
/// What is written to see how the server stores, in [`CLUSTER`].
pub const PROBE_KEY: &str = "probe";

/// All buckets of the port.
pub const ALL: [&str; 19] = [
    CONVERSATIONS,
    PROJECTIONS,
    SANDBOXES,
    PLACES,
    ALLOCATIONS,
    LEASES,
    IDEMPOTENCY,
    BUDGETS,
    STORED,
    SETTINGS,
    SECRETS,
    WORKSPACES,
    EXTENSIONS,
    EXTENSION_PARTS,
    LOGINS,
    WEBHOOKS,
    WEBHOOK_ENDS,
    LEFT_TREES,
    PROBE,
];

/// After this long without a write a value is gone; `None`: never. Adapters of a cluster keep to it; the
/// embedded one keeps values, and who reads them looks at their age.
#[must_use]
pub fn lifetime(bucket: &str) -> Option<Duration> {
    match bucket {
        LEASES => Some(Duration::from_secs(15)),
        IDEMPOTENCY => Some(Duration::from_secs(24 * 3_600)),
        // Of a sandbox that is gone nobody asks.
        LEFT_TREES => Some(Duration::from_secs(90 * 24 * 3_600)),
        _ => None,
    }
}
