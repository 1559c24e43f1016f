//! What things are called: objects, labels, annotations, paths in a pod, ports.

use std::collections::BTreeMap;

/// Who applies objects.
pub(super) const MANAGER: &str = "wse-operator";
/// Who writes the status.
pub(super) const STATUS_MANAGER: &str = "wse-operator/status";

/// What the operator's labels and annotations begin with.
pub(super) const PREFIX: &str = "wse.dev/";
/// The cluster that an object is of.
pub(super) const CLUSTER: &str = "wse.dev/cluster";
/// The revision that a pod or a ReplicaSet is of.
pub(super) const REVISION: &str = "wse.dev/revision";
/// On a pod: when it was asked to drain.
pub(super) const DRAINING: &str = "wse.dev/draining";
/// On a pod: the configuration that it should have. The kubelet updates the pod's files at once when
/// an annotation changes, and otherwise within a minute or two.
pub(super) const CONFIG: &str = "wse.dev/config";
/// On a pod: who goes first when a ReplicaSet shrinks.
pub(super) const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// On a cluster: `true` stops all acting.
pub(super) const PAUSED: &str = "wse.dev/paused";
/// On the pod that tries kernel settings: which cluster it is of. It has no [`CLUSTER`], by which
/// Services find gateways.
pub(super) const PREFLIGHT: &str = "wse.dev/preflight";
/// On that pod: what it tries.
pub(super) const TRIES: &str = "wse.dev/tries";
/// Selects everything that the operator made.
pub(super) const OURS: &str = "app.kubernetes.io/managed-by=wse-operator";

/// The gateway's container.
pub(super) const GATEWAY: &str = "gateway";
/// Where clients connect.
pub(super) const PUBLIC_PORT: u16 = 8080;
/// Where backends publish.
pub(super) const API_PORT: u16 = 8081;
/// Where probes, scrapers and the operator ask.
pub(super) const ADMIN_PORT: u16 = 9090;
/// The name of [`ADMIN_PORT`] in a pod.
pub(super) const ADMIN_PORT_NAME: &str = "admin";

/// The folder of the configuration.
pub(super) const CONFIG_FOLDER: &str = "/etc/wse/config";
/// The configuration, in its folder and in its ConfigMap.
pub(super) const CONFIG_FILE: &str = "config.json";
/// The folder of referenced Secrets, each in a folder of its name.
pub(super) const SECRETS_FOLDER: &str = "/etc/wse/secrets";
/// The folder of the admin token.
pub(super) const ADMIN_FOLDER: &str = "/etc/wse/admin";
/// The admin token, in its Secret.
pub(super) const TOKEN: &str = "token";
/// The admin token, in a pod.
pub(super) const TOKEN_FILE: &str = "/etc/wse/admin/token";

/// Labels of everything of a cluster.
pub(super) fn labels(cluster: &str) -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name", "wse-gateway"),
        ("app.kubernetes.io/instance", cluster),
        ("app.kubernetes.io/managed-by", MANAGER),
        (CLUSTER, cluster),
    ];
    owned(labels)
}

/// Selects the pods of a cluster.
pub(super) fn pods(cluster: &str) -> BTreeMap<String, String> {
    owned([(CLUSTER, cluster)])
}

/// Selects the pods of one revision.
pub(super) fn pods_of(cluster: &str, revision: &str) -> BTreeMap<String, String> {
    owned([(CLUSTER, cluster), (REVISION, revision)])
}

/// The pod that tries kernel settings.
pub(super) fn preflight(cluster: &str) -> String {
    format!("{cluster}-preflight")
}

/// Labels of that pod.
pub(super) fn preflight_labels(cluster: &str) -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name", "wse-preflight"),
        ("app.kubernetes.io/instance", cluster),
        ("app.kubernetes.io/managed-by", MANAGER),
        (PREFLIGHT, cluster),
    ];
    owned(labels)
}

/// The ReplicaSet of a revision.
pub(super) fn replica_set(cluster: &str, revision: &str) -> String {
    let short = revision.get(..8).unwrap_or(revision);
    format!("{cluster}-{short}")
}

/// The ConfigMap.
pub(super) fn config_map(cluster: &str) -> String {
    format!("{cluster}-config")
}

/// The Secret with the admin token.
pub(super) fn admin_secret(cluster: &str) -> String {
    format!("{cluster}-admin")
}

/// The Service that backends call.
pub(super) fn api_service(cluster: &str) -> String {
    format!("{cluster}-api")
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.into(), value.into())).into()
}
