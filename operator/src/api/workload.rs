//! The pods: how they are replaced, kept apart, reached, and what a person adds to them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How pods of an old revision are replaced.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How many pods may exist above `scaling.replicas` while old ones are replaced: a number, or a
    /// percentage of `scaling.replicas`, rounded up. With `100%` every client moves once; with less, a
    /// client may move several times, and `wse-operator plan` says how many moves that costs.
    #[serde(default = "Rollout::surge")]
    #[schemars(schema_with = "surge_schema")]
    #[x_kube(
        validation = Rule::new("string(self).matches('^[1-9][0-9]{0,2}%?$')").message("`surge` must be a number of pods, at least 1, or a percentage such as `100%`: without room for a new pod no old one can be replaced")
    )]
    pub surge: IntOrString,
}

impl Rollout {
    fn surge() -> IntOrString {
        IntOrString::String("100%".into())
    }

    /// How many pods may exist above `replicas`; at least 1.
    pub fn surge_of(&self, replicas: u32) -> u32 {
        let pods = match &self.surge {
            IntOrString::Int(pods) => u32::try_from(*pods).unwrap_or_default(),
            IntOrString::String(text) => {
                let percent = text.trim_end_matches('%').parse().unwrap_or(100_u64);
                let pods = (u64::from(replicas) * percent).div_ceil(100);
                u32::try_from(pods).unwrap_or(u32::MAX)
            }
        };
        pods.max(1)
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            surge: Self::surge(),
        }
    }
}

fn surge_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}

/// What others may do to the pods, and where they run.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// Pods that node drains and the like may evict at once.
    #[serde(default = "Disruption::max_unavailable")]
    #[schemars(range(min = 1, max = 100))]
    pub max_unavailable: u32,
    /// What pods are spread over, as evenly as the scheduler can without leaving one pending.
    #[serde(default)]
    pub spread: Spread,
}

impl Disruption {
    fn max_unavailable() -> u32 {
        1
    }
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            max_unavailable: Self::max_unavailable(),
            spread: Spread::default(),
        }
    }
}

/// What pods are spread over. `Zone`: zones, and nodes within them.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Spread {
    None,
    Node,
    #[default]
    Zone,
}

/// The Service that clients connect to.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'").message("`nodePort` needs `type: NodePort` or `type: LoadBalancer`"),
    validation = Rule::new("self.externalTrafficPolicy == 'Cluster' || self.type != 'ClusterIP'").message("`externalTrafficPolicy: Local` needs `type: NodePort` or `type: LoadBalancer`: a ClusterIP has no external traffic")
)]
pub struct Service {
    /// How far it reaches.
    #[serde(default)]
    pub r#type: ServiceType,
    /// The port that clients connect to.
    #[serde(default = "Service::port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// The port of each node, for `NodePort` and `LoadBalancer`. Left out: Kubernetes chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub node_port: Option<u16>,
    /// Annotations, such as those that a cloud's load balancer reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: BTreeMap<String, String>,
    /// `Local` keeps the client's address, and sends it to pods of the node that it reached.
    #[serde(default)]
    pub external_traffic_policy: ExternalTrafficPolicy,
}

impl Service {
    fn port() -> u16 {
        80
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            r#type: ServiceType::default(),
            port: Self::port(),
            node_port: None,
            annotations: BTreeMap::new(),
            external_traffic_policy: ExternalTrafficPolicy::default(),
        }
    }
}

/// How far a Service reaches.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// Which pods external traffic may reach: those of the `Cluster`, or of the node, `Local`.
#[allow(missing_docs)] // As for `TierChoice`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ExternalTrafficPolicy {
    #[default]
    Cluster,
    Local,
}

/// What is added to each pod. The operator's own fields win, and an Event names those that lost.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PodMetadata>,
    /// A PodSpec, passed through. A container named `gateway` adds to the gateway's own, such as
    /// `resources` or `env`; every other container starts before the gateway and outlives its drain. So
    /// an application that ends when it cannot reach the gateway keeps the gateway from ever starting,
    /// unless it waits and tries again by itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "pod_spec_schema")]
    #[x_kube(
        validation = Rule::new("!has(self.hostNetwork) || !self.hostNetwork").message("`hostNetwork` must be left out: pods on one node would fight for the same ports"),
        validation = Rule::new("!has(self.restartPolicy) || self.restartPolicy == 'Always'").message("`restartPolicy` must be left out, or be `Always`: gateways are there all the time"),
        validation = Rule::new("!has(self.terminationGracePeriodSeconds)").message("`terminationGracePeriodSeconds` must be left out, because it follows from the drain: set `spec.drain.deadlineSeconds`"),
        validation = Rule::new("!has(self.containers) || self.containers.all(c, c.name == 'gateway' || has(c.image))").message("each container needs an `image`, except `gateway`"),
        validation = Rule::new("!has(self.containers) || self.containers.all(c, c.name != 'gateway' || !has(c.image))").message("the container `gateway` must not name an `image`: set `spec.image`"),
        validation = Rule::new("!has(self.initContainers) || self.initContainers.all(i, i.name != 'gateway' && (!has(self.containers) || self.containers.all(c, c.name != i.name)))").message("names of `initContainers` must differ from those of `containers`, and from `gateway`")
    )]
    pub spec: Map<String, Value>,
}

impl PodTemplate {
    /// What the gateway's container may use of a processor, in thousandths, where the template says so:
    /// its limit, or what it asks for where it has none.
    pub fn gateway_millicores(&self) -> Option<u32> {
        let containers = self.spec.get("containers")?.as_array()?;
        let gateway = containers.iter().find(|it| it["name"] == "gateway")?;
        let resources = &gateway["resources"];
        [&resources["limits"]["cpu"], &resources["requests"]["cpu"]]
            .into_iter()
            .find_map(millicores)
    }
}

/// A quantity of processors, such as `2`, `"0.5"` or `"250m"`.
fn millicores(quantity: &Value) -> Option<u32> {
    let text = match quantity {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let thousandths = match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok()?,
        None => text.parse::<f64>().ok()? * 1_000.0,
    };
    // Kubernetes rounds up, too.
    (1.0..=4e9)
        .contains(&thousandths.ceil())
        .then_some(thousandths.ceil() as u32)
}

/// Labels and annotations of the pods.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels, apart from the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(
        validation = Rule::new("self.all(key, !key.startsWith('wse.dev/') && !(key in ['app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', 'app.kubernetes.io/name']))").message("labels of `wse.dev/`, and `app.kubernetes.io/name`, `instance` and `managed-by`, are the operator's: choose others")
    )]
    pub labels: BTreeMap<String, String>,
    /// Annotations, apart from the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(
        validation = Rule::new("self.all(key, !key.startsWith('wse.dev/'))").message("annotations of `wse.dev/` are the operator's: choose others")
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Names the fields that the rules look at, because a rule sees no others.
fn pod_spec_schema(_: &mut SchemaGenerator) -> Schema {
    let containers = json!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 63},
                "image": {"type": "string", "minLength": 1, "maxLength": 1_024},
            },
            "x-kubernetes-preserve-unknown-fields": true,
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    });
    json_schema!({
        "type": "object",
        "properties": {
            "containers": containers.clone(),
            "initContainers": containers,
            "hostNetwork": {"type": "boolean"},
            "restartPolicy": {"type": "string", "maxLength": 32},
            "terminationGracePeriodSeconds": {"type": "integer", "minimum": 0, "maximum": 86_400},
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_asks_of_a_processor_is_read_as_kubernetes_does() {
        for (resources, expected) in [
            (json!({}), None),
            (json!({"requests": {"cpu": "250m"}}), Some(250)),
            (json!({"requests": {"cpu": 2}}), Some(2_000)),
            (
                json!({"requests": {"cpu": "0.5"}, "limits": {"cpu": "4"}}),
                Some(4_000),
            ),
            (json!({"limits": {"cpu": "1.0001"}}), Some(1_001)),
            (json!({"requests": {"cpu": "much", "memory": "1Gi"}}), None),
            (json!({"requests": {"cpu": "-1"}}), None),
        ] {
            let containers = json!([{"name": "app"}, {"name": "gateway", "resources": resources}]);
            let template = PodTemplate {
                spec: Map::from_iter([("containers".into(), containers)]),
                ..PodTemplate::default()
            };
            assert_eq!(template.gateway_millicores(), expected, "{resources}");
        }
    }
}
