//! What the pods share.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;

/// What the pods share.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.type == 'Redis') == has(self.redis)").message("`redis` must be given when `type` is `Redis`, and left out otherwise")
)]
pub struct Backplane {
    /// How pods share topics.
    #[serde(default)]
    pub r#type: BackplaneType,
    /// Which Redis, and how it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
}

/// How pods share topics. `Memory`: not at all, which is a fleet of one pod. `Redis`: over Redis 7.0
/// or newer.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum BackplaneType {
    #[default]
    Memory,
    Redis,
}

/// Which Redis, and how it is used.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.urlSecretRef)").message("give exactly one of `url` and `urlSecretRef`; a URL with a password belongs in a Secret")
)]
pub struct Redis {
    /// `redis://`, `rediss://` or `redis+unix://`, without a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    #[x_kube(
        validation = Rule::new("self.startsWith('redis://') || self.startsWith('rediss://') || self.startsWith('redis+unix://')").message("`url` must begin with `redis://`, `rediss://` or `redis+unix://`")
    )]
    pub url: Option<String>,
    /// Where the URL is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// Number of hash slots that topics are spread over. It is part of every key in Redis.
    #[serde(default = "Redis::partitions")]
    #[schemars(range(min = 1, max = 1_024))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("`partitions` cannot be changed, because it is part of every key in Redis: make a new WseCluster")
    )]
    pub partitions: u16,
}

impl Redis {
    /// The number that a spec without one has.
    pub fn partitions() -> u16 {
        16
    }
}
