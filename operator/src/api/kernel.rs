//! Kernel settings of the pods.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kernel settings of the pods. The tier brings some; what is applied and what is not, and why, is in
/// the status. A pod keeps what it started with.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// Settings that are added to the tier's, or replace them. A change makes new pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub sysctls: Vec<Sysctl>,
    /// What is done about settings that a kubelet refuses unless its administrator allows them, such
    /// as `net.core.somaxconn`.
    #[serde(default)]
    pub unsafe_sysctls: UnsafeSysctls,
}

/// One kernel setting.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sysctl {
    /// Its name, with dots, such as `net.ipv4.tcp_fin_timeout`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([.][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$')").message("`name` must be a kernel setting with dots, such as `net.ipv4.tcp_fin_timeout`")
    )]
    pub name: String,
    /// Its value, as text.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
}

/// What is done about kernel settings that a kubelet refuses unless it is told to allow them. `Omit`:
/// the fleet runs without them. `Require`: pods run on nodes with the label
/// `wse.dev/unsafe-sysctls: allowed`, once a pod of its own has shown that the kubelets there do.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum UnsafeSysctls {
    #[default]
    Omit,
    Require,
}
