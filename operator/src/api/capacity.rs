//! Size: what is expected.

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
