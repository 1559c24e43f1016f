//! The `WseCluster`: what a person writes. In comes YAML, out go typed values, the CRD that an API
//! server is given, and the CEL rules that both the API server and `up` check. It names no
//! reconciler and takes no decision; a field that nothing carries out yet is not here.
//!
//! Every text below is also what `kubectl explain` shows.

// `KubeSchema` makes a hidden copy of each struct, which is `pub` as the struct is.
#![allow(unreachable_pub)]

mod auth;
mod backplane;
mod capacity;
mod check;
mod drain;
mod kernel;
mod limits;
mod scaling;
mod schema;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod workload;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use wse_sidecar::config::{Compression, TopicPolicy};

pub use self::auth::{Auth, AuthMode, Jwks, Key, SecretKeyRef};
pub use self::backplane::{Backplane, BackplaneType, Redis};
pub use self::capacity::{Capacity, TierChoice};
pub use self::check::{Problem, check, check_change};
pub use self::drain::{Drain, Rebalance};
pub use self::kernel::{Kernel, Sysctl, UnsafeSysctls};
pub use self::limits::LimitOverrides;
pub use self::scaling::{Autoscale, ScaleDown, ScaleUp, Scaling, ScalingMode};
pub use self::schema::crd;
pub use self::status::{
    AppliedSysctl, KernelStatus, OmittedSysctl, RefusedSysctl, WseClusterStatus,
};
pub use self::tls::Tls;
pub use self::workload::{
    Disruption, ExternalTrafficPolicy, PodMetadata, PodTemplate, Rollout, Service, ServiceType,
    Spread,
};

/// What the fleet is for, who may connect, and what its pods share.
#[derive(CustomResource, Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "wse.dev",
    version = "v1alpha1",
    kind = "WseCluster",
    namespaced,
    shortname = "wse",
    doc = "A fleet of WebSocket gateways that share topics.",
    cel,
    status = "WseClusterStatus",
    scale(
        spec_replicas_path = ".spec.scaling.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("`metadata.name` must begin with a letter and hold only small letters, digits and `-`, because Services are named after it"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("`metadata.name` must be at most 40 characters long, because the names of the fleet's objects begin with it"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".status.tier"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.updatedReplicas", priority = 1),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.conditions[?(@.type=='Settled')].reason"),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.backplane.type != 'Memory' || ((!has(self.scaling.replicas) || self.scaling.replicas <= 1) && (!has(self.scaling.maxReplicas) || self.scaling.maxReplicas <= 1))").message("the `Memory` backplane is one pod's alone: set `backplane.type: Redis`, or `scaling.replicas: 1`")
)]
pub struct WseClusterSpec {
    /// The gateway's image. Left out: the operator's default when the pods were made, which is kept
    /// until a change of the spec makes new pods. So is an image that was named here before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_024))]
    pub image: Option<String>,
    /// How large the fleet has to be able to grow.
    pub capacity: Capacity,
    /// How many pods there are.
    #[serde(default)]
    pub scaling: Scaling,
    /// How a pod is emptied before it goes.
    #[serde(default)]
    pub drain: Drain,
    /// How pods of an old revision are replaced.
    #[serde(default)]
    pub rollout: Rollout,
    /// What others may do to the pods, and where they run.
    #[serde(default)]
    pub disruption: Disruption,
    /// Kernel settings of the pods.
    #[serde(default)]
    pub kernel: Kernel,
    /// Who may connect, and what they may subscribe to.
    pub auth: Auth,
    /// What one client, and all of them, may cost. A limit that is left out is the tier's.
    #[serde(default)]
    pub limits: LimitOverrides,
    /// Whether messages are compressed (permessage-deflate) for clients that offer it, as every browser
    /// does. A message then costs tens of microseconds of a processor, many times what it costs without.
    /// Not for messages that hold a secret beside what a stranger chose: their size tells when the two
    /// resemble each other. A change concerns the clients that connect after it.
    #[serde(default)]
    pub compression: Compression,
    /// Policies by topic pattern; the first match wins.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub topics: Vec<TopicPolicy>,
    /// What the pods share.
    #[serde(default)]
    pub backplane: Backplane,
    /// How backends publish.
    pub api: Api,
    /// Makes the gateways speak TLS to clients, and nothing else. Left out: they speak plain HTTP, for an
    /// ingress or a load balancer that ends TLS. Another name, adding it and leaving it out make new pods;
    /// new contents of the Secret are presented to those who connect afterwards, without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The Service that clients connect to.
    #[serde(default)]
    pub service: Service,
    /// What is added to each pod. A change makes new pods.
    #[serde(default)]
    pub pod_template: PodTemplate,
    /// Log filter of the gateways, such as `info` or `info,wse_sidecar::hub=debug`.
    #[serde(default = "WseClusterSpec::log")]
    #[schemars(length(min = 1, max = 1_024))]
    pub log: String,
}

impl WseClusterSpec {
    /// The name of every Secret that the pods read, as often as it is named.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let keys = self.auth.keys.iter().map(|key| &key.secret_key_ref);
        let jwks = self.auth.jwks.iter().flat_map(|it| &it.secret_key_ref);
        let redis = self
            .backplane
            .redis
            .iter()
            .flat_map(|it| &it.url_secret_ref);
        let api = self.api.keys.iter().map(|key| &key.secret_key_ref);
        let entries = keys.chain(jwks).chain(redis).chain(api);
        let tls = self.tls.iter().map(|tls| tls.secret_name.as_str());
        entries.map(|entry| entry.name.as_str()).chain(tls)
    }

    fn log() -> String {
        "info".into()
    }
}

/// How backends publish.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// Keys that a backend may call with. During a rotation the previous one stays in the list.
    #[schemars(length(min = 1, max = 16))]
    pub keys: Vec<ApiKey>,
    /// Who inside Kubernetes may reach the API's port, where the network enforces NetworkPolicies. By
    /// default pods of the same namespace; an empty list: nobody.
    #[serde(default = "Api::allow_from")]
    #[schemars(length(max = 64))]
    pub allow_from: Vec<NetworkPolicyPeer>,
}

impl Api {
    fn allow_from() -> Vec<NetworkPolicyPeer> {
        vec![NetworkPolicyPeer {
            pod_selector: Some(LabelSelector::default()),
            ..NetworkPolicyPeer::default()
        }]
    }
}

/// One accepted API key.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Where the key is.
    pub secret_key_ref: SecretKeyRef,
}
