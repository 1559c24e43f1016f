//! Size: what is expected, and how many pods carry it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How large the fleet has to be able to grow.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.tier != 'Auto' || has(self.expectedConnections)").message("`expectedConnections` must be set when `tier` is `Auto`: it says what the fleet is sized for before its first client")
)]
pub struct Capacity {
    /// One of the eight load tiers (`wse-operator tiers` prints them), or `Auto`: the lowest that
    /// covers what is expected and what is measured.
    #[serde(default)]
    pub tier: TierChoice,
    /// Connections of the whole fleet at its busiest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub expected_connections: Option<u32>,
}

/// A load tier, or the operator's choice of one.
#[allow(missing_docs)] // The type's text says all; kube reorders a list in which one variant has its own.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum TierChoice {
    #[default]
    Auto,
    Minimal,
    Light,
    Low,
    Medium,
    High,
    VeryHigh,
    Extreme,
    Maximum,
}

/// How many pods there are.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// Who decides the number.
    #[serde(default)]
    pub mode: ScalingMode,
    /// The number of pods.
    #[serde(default = "Scaling::replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: u32,
}

impl Scaling {
    fn replicas() -> u32 {
        1
    }
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            mode: ScalingMode::default(),
            replicas: Self::replicas(),
        }
    }
}

/// Who decides the number of pods. `Fixed`: `replicas` does.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ScalingMode {
    #[default]
    Fixed,
}
