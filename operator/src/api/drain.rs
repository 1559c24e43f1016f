//! How pods are emptied.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a pod is emptied before it goes.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.windowSeconds <= self.deadlineSeconds").message("`windowSeconds` must be less than or equal to `deadlineSeconds`: sessions leave inside the window, and the deadline closes what is left")
)]
pub struct Drain {
    /// How long load balancers and proxies need to stop sending new clients to a pod that is not
    /// ready any more. A pod that drains still accepts for so long.
    #[serde(default = "Drain::propagation_seconds")]
    #[schemars(range(max = 300))]
    pub propagation_seconds: u32,
    /// Each session is asked to leave at its own random moment inside this many seconds. Longer is
    /// gentler to the pods that take the clients in.
    #[serde(default = "Drain::window_seconds")]
    #[schemars(range(max = 3_600))]
    pub window_seconds: u32,
    /// Sessions that are still there this many seconds after the window began are closed at once.
    /// Cluster autoscalers wait ten minutes by default. Kubernetes gives a pod that it ends as long as
    /// when the pod was made: where pods are evicted or deleted, a longer one protects only new ones.
    #[serde(default = "Drain::deadline_seconds")]
    #[schemars(range(max = 3_600))]
    pub deadline_seconds: u32,
    /// Clients of the whole fleet that may be asked to leave each second, by drains and rebalancing.
    /// Pods drain one after another, or over a longer window, where that takes it.
    #[serde(default = "Drain::reconnects_per_second")]
    #[schemars(range(min = 1, max = 100_000))]
    pub reconnects_per_second: u32,
    /// Whether pods that have more clients than others ask some of them to leave: a new pod gets only
    /// new clients by itself.
    #[serde(default)]
    pub rebalance: Rebalance,
}

impl Drain {
    fn propagation_seconds() -> u32 {
        5
    }

    fn window_seconds() -> u32 {
        30
    }

    fn deadline_seconds() -> u32 {
        60
    }

    fn reconnects_per_second() -> u32 {
        1_000
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            propagation_seconds: Self::propagation_seconds(),
            window_seconds: Self::window_seconds(),
            deadline_seconds: Self::deadline_seconds(),
            reconnects_per_second: Self::reconnects_per_second(),
            rebalance: Rebalance::default(),
        }
    }
}

/// Whether pods that have more clients than others ask some of them to leave. `OnImbalance`: slowly,
/// while the fleet is otherwise at rest.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Rebalance {
    #[default]
    OnImbalance,
    Never,
}
