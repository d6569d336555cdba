//! The settings of sandboxes that are pods.

use super::Kind::{Amount, Choice, Text, Whole};
use super::{Section, setting};

pub(super) const PODS: Section = Section {
    title: "Sandboxes on Kubernetes",
    says: "The supervisor reads these with `OH_SANDBOX_DRIVER=kubernetes`, in a program that was built with the feature \
           `kubernetes`, as the image of `deploy/Dockerfile` is. It reaches the API by `KUBECONFIG` or else as the service \
           account of its own pod. `OH_SANDBOX_RUNTIME` is a RuntimeClass then, `OH_SANDBOX_MEMORY_MIB` and `OH_SANDBOX_CPUS` are \
           limits, and the name in `OH_WORKER_NATS_URL` is resolved by the supervisor: pods have no DNS.",
    settings: &[
        setting(
            "kubernetes_namespace",
            Text,
            "the one of its own service account",
            "Where the pods and volumes of sandboxes are. It should hold no Secret that is not for them.",
        ),
        setting(
            "kubernetes_program_image",
            Text,
            "none, needed",
            "The image with this program, such as the supervisor's own: an init container of each pod copies it to where the \
             sandbox's image is started with it.",
        ),
        setting(
            "kubernetes_owner",
            Text,
            "none",
            "The name of a ConfigMap that all pods belong to: they end with it.",
        ),
        setting(
            "kubernetes_service_account",
            Text,
            "the namespace's default",
            "Whose pods they are. Its token is never given to them.",
        ),
        setting(
            "kubernetes_profile",
            Choice(&["restricted", "baseline"]),
            "restricted",
            "The profile of Pod Security that the pods pass. With `baseline` the worker is root with six capabilities, and commands \
             have a user of their own, which cannot end the worker or change its files; with `restricted` both are one user.",
        ),
        setting(
            "kubernetes_handover",
            Choice(&["attach", "secret"]),
            "attach",
            "How a worker is told what it is to do, with its credentials: on its standard input, or, where nobody may attach to pods, \
             by a Secret that ends with its pod. Such a Secret can be read by whoever may read those of the namespace, and with the \
             profile `restricted` by the commands of the sandbox.",
        ),
        setting(
            "kubernetes_storage_class",
            Text,
            "the cluster's default",
            "Of the volumes of sandboxes' files.",
        ),
        setting(
            "kubernetes_volume_mib",
            Whole { least: 64, most: 1 << 30 },
            "10240",
            "The size of such a volume, of those that are made from now on.",
        ),
        setting(
            "kubernetes_access_mode",
            Choice(&["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]),
            "ReadWriteOnce",
            "Of such a volume. `ReadWriteOncePod` keeps a second pod from it also on the same machine, where the storage class has it.",
        ),
        setting(
            "kubernetes_request_memory_mib",
            Whole { least: 16, most: 1 << 30 },
            "512",
            "The memory that is kept for a pod. Where it is less than `OH_SANDBOX_MEMORY_MIB`, machines can run short.",
        ),
        setting(
            "kubernetes_request_cpus",
            Amount { least: 0.01, most: 10_000.0 },
            "0.25",
            "The processors that are kept for a pod.",
        ),
        setting(
            "kubernetes_pull_secrets",
            Text,
            "none",
            "Names of Secrets with which images are fetched, parted by commas.",
        ),
        setting(
            "kubernetes_node_selector",
            Text,
            "none",
            "Labels of the machines that may run sandboxes: `label=value`, parted by commas.",
        ),
        setting(
            "kubernetes_tolerations",
            Text,
            "none",
            "Tolerations as in a pod: a JSON array of objects with `key`, `operator`, `value`, `effect` and `tolerationSeconds`.",
        ),
        setting("kubernetes_priority_class", Text, "the cluster's default", "The PriorityClass of the pods."),
        setting(
            "kubernetes_pending_seconds",
            Whole { least: 30, most: 24 * 3_600 },
            "600",
            "How long a pod may wait for a machine, an image or a volume before another is tried. What it waits for stands in \
             `/api/conversations/{id}/why` meanwhile. It should be longer than the cluster takes to get a machine.",
        ),
    ],
};
