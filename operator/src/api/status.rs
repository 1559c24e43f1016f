//! What the operator says of a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What is. Counts are of pods; what moves by the second is a metric, not here.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WseClusterStatus {
    /// The generation of the spec that the rest is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The gateway's image: the spec's, or the one that was chosen when the pods were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The wanted revision of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The load tier that the fleet is sized for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Pods that there are, of all revisions, without those that were told to end.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that take clients.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods of the wanted revision.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Pods that are being emptied.
    #[serde(default)]
    pub draining_replicas: i32,
    /// Label selector of the pods, as text, for `/scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// What holds and what does not, with reasons.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
