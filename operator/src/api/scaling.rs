//! How many pods there are, and who decides that.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many pods there are.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode == 'Autoscale' || has(self.replicas)").message("`replicas` must be set in the modes `Fixed` and `External`"),
    validation = Rule::new("self.mode != 'Autoscale' || !has(self.replicas)").message("`replicas` must be left out in the mode `Autoscale`, in which the operator decides: set `minReplicas` and `maxReplicas`, or `mode: Fixed`, or `mode: External` for `kubectl scale` and autoscalers"),
    validation = Rule::new("self.mode != 'Autoscale' || (has(self.minReplicas) && has(self.maxReplicas))").message("`minReplicas` and `maxReplicas` must be set in the mode `Autoscale`"),
    validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas").message("`minReplicas` must be less than or equal to `maxReplicas`"),
    validation = Rule::new("self.mode == 'Autoscale' || (!has(self.minReplicas) && !has(self.maxReplicas) && !has(self.autoscale))").message("`minReplicas`, `maxReplicas` and `autoscale` are for the mode `Autoscale`: leave them out, or set it")
)]
pub struct Scaling {
    /// Who decides the number.
    #[serde(default)]
    pub mode: ScalingMode,
    /// The number of pods, in the modes `Fixed` and `External`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub replicas: Option<u32>,
    /// The least number of pods, in the mode `Autoscale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub min_replicas: Option<u32>,
    /// The largest number of pods, in the mode `Autoscale`. Every pod above it is a cost that you do
    /// not want to pay, whatever the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_replicas: Option<u32>,
    /// How the number follows the load, in the mode `Autoscale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<Autoscale>,
}

impl Scaling {
    /// As many pods as somebody else says.
    pub fn fixed(replicas: u32) -> Self {
        Self {
            mode: ScalingMode::Fixed,
            replicas: Some(replicas),
            min_replicas: None,
            max_replicas: None,
            autoscale: None,
        }
    }

    /// The most pods that there may be.
    pub fn most(&self) -> u32 {
        match self.mode {
            ScalingMode::Autoscale => self.max_replicas.unwrap_or(1),
            ScalingMode::External | ScalingMode::Fixed => self.replicas.unwrap_or(1),
        }
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self::fixed(1)
    }
}

/// Who decides the number of pods. `Fixed`: `replicas` does, which a person sets. `Autoscale`: the
/// operator, between `minReplicas` and `maxReplicas`, by what the pods carry. `External`: `replicas`
/// does, which an autoscaler sets through `/scale`.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ScalingMode {
    #[default]
    Fixed,
    Autoscale,
    External,
}

/// How the number of pods follows the load.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Autoscale {
    /// How full the pods should be, in percent of what one can carry: of connections, messages,
    /// bytes, processor and memory, whichever is fullest. What is left is for the clients of a pod
    /// that is lost, and for growth until a new pod is ready.
    #[serde(default = "Autoscale::target_utilization_percent")]
    #[schemars(range(min = 10, max = 95))]
    pub target_utilization_percent: u32,
    /// How pods are added.
    #[serde(default)]
    pub scale_up: ScaleUp,
    /// How pods are taken away. One at a time, each drained first.
    #[serde(default)]
    pub scale_down: ScaleDown,
}

impl Autoscale {
    fn target_utilization_percent() -> u32 {
        70
    }
}

impl Default for Autoscale {
    fn default() -> Self {
        Self {
            target_utilization_percent: Self::target_utilization_percent(),
            scale_up: ScaleUp::default(),
            scale_down: ScaleDown::default(),
        }
    }
}

/// How pods are added. Within `periodSeconds`, `maxPods` or `maxPercent`, whichever is more.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUp {
    /// How long a load must last before pods are added for it.
    #[serde(default)]
    #[schemars(range(max = 3_600))]
    pub stabilization_window_seconds: u32,
    /// How far above the target the load must be, in percent of it.
    #[serde(default = "tolerance_percent")]
    #[schemars(range(max = 50))]
    pub tolerance_percent: u32,
    /// Pods that may be added within a period.
    #[serde(default = "ScaleUp::max_pods")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_pods: u32,
    /// Pods that may be added within a period, in percent of those that there were.
    #[serde(default = "ScaleUp::max_percent")]
    #[schemars(range(max = 1_000))]
    pub max_percent: u32,
    /// The period.
    #[serde(default = "ScaleUp::period_seconds")]
    #[schemars(range(min = 1, max = 1_800))]
    pub period_seconds: u32,
}

impl ScaleUp {
    fn max_pods() -> u32 {
        4
    }

    fn max_percent() -> u32 {
        100
    }

    fn period_seconds() -> u32 {
        15
    }
}

impl Default for ScaleUp {
    fn default() -> Self {
        Self {
            stabilization_window_seconds: 0,
            tolerance_percent: tolerance_percent(),
            max_pods: Self::max_pods(),
            max_percent: Self::max_percent(),
            period_seconds: Self::period_seconds(),
        }
    }
}

/// How pods are taken away.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// How long a pod must have been too many before it goes.
    #[serde(default = "ScaleDown::stabilization_window_seconds")]
    #[schemars(range(max = 3_600))]
    pub stabilization_window_seconds: u32,
    /// How far below the target the load must be, in percent of it.
    #[serde(default = "tolerance_percent")]
    #[schemars(range(max = 50))]
    pub tolerance_percent: u32,
}

impl ScaleDown {
    fn stabilization_window_seconds() -> u32 {
        300
    }
}

impl Default for ScaleDown {
    fn default() -> Self {
        Self {
            stabilization_window_seconds: Self::stabilization_window_seconds(),
            tolerance_percent: tolerance_percent(),
        }
    }
}

fn tolerance_percent() -> u32 {
    10
}
