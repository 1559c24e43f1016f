//! What the operator says of a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
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
    /// Pods that there should be: the spec's number, or the operator's choice.
    #[serde(default)]
    pub desired_replicas: i32,
    /// When that was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
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
    /// Kernel settings of pods that are made now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelStatus>,
    /// What holds and what does not, with reasons.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Kernel settings of pods that are made now. Pods that are there keep what they started with.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelStatus {
    /// Those that pods get.
    #[serde(default)]
    pub applied_sysctls: Vec<AppliedSysctl>,
    /// Those that they do not get.
    #[serde(default)]
    pub omitted_sysctls: Vec<OmittedSysctl>,
    /// Unsafe ones that a pod was seen to be allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Those that a kubelet turned pods of the fleet away for, which are left out for as long as pods
    /// may land on that node; or that the namespace forbids, which are left out until the next edit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_sysctls: Vec<RefusedSysctl>,
}

/// A kernel setting that pods get. Not checked, as the spec's is: a list of any length is not worth
/// what checking it costs an API server.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedSysctl {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A kernel setting that is not allowed somewhere.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedSysctl {
    /// Its name.
    pub name: String,
    /// The node whose kubelet does not allow it. Empty: the namespace's pod security level does not.
    pub node: String,
}

/// A kernel setting that pods do not get.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OmittedSysctl {
    /// Its name.
    pub name: String,
    /// Why, and what to do.
    pub reason: String,
}
