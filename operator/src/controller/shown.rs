//! What the caches keep of an object: what is read, and of the rest only a hash. A thousand clusters
//! have seven thousand objects, each of them some 10 KB as JSON in memory.

use std::borrow::Cow;
use std::hash::Hasher;

use fnv::FnvHasher;
use k8s_openapi::api::core::v1::{Pod, PodSecurityContext, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicObject, DynamicResourceScope};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::index::Object;
use super::memory::parse;
use super::names;
use super::root::Root;
use crate::plan::Serves;

/// An object that the operator makes, as it is there.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    namespace: String,
    name: String,
    cluster: String,
    uid: Option<String>,
    resource_version: Option<String>,
    /// The UID of whoever says that it made it.
    owner: Option<String>,
    /// Of a pod's or a ReplicaSet's label.
    revision: Option<String>,
    /// A hash of what people and controllers set, without what every write changes.
    pub(super) content: u64,
    /// A hash of a ConfigMap's entries.
    pub(super) data: u64,
    /// Of a ReplicaSet: how many pods it should have, and has.
    pub(super) replicas: (u64, u64),
    /// Of a ReplicaSet: whether it cannot make its pods.
    pub(super) fails: bool,
    /// Of a ReplicaSet: why no pod of it may be made, if that is for its kernel settings.
    pub(super) forbids: Option<String>,
    /// Of a Service: what it selects.
    pub(super) serves: Option<Serves>,
}

impl Shown {
    /// Whether this cluster made it.
    pub(super) fn is_of(&self, root: &Root) -> bool {
        self.owner.as_deref() == Some(root.uid())
    }

    pub(super) fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    pub(super) fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// Its version as a number that grows, as [`super::memory::version`] gives it.
    pub(super) fn version(&self) -> Option<u64> {
        parse(self.resource_version.as_deref()?)
    }
}

impl From<DynamicObject> for Shown {
    fn from(mut object: DynamicObject) -> Self {
        let count = |pointer| {
            let count = object.data.pointer(pointer);
            count.and_then(Value::as_u64).unwrap_or_default()
        };
        let replicas = (count("/spec/replicas"), count("/status/replicas"));
        let serves = object.data.pointer("/spec/selector").and_then(serves);
        let fails = fails(&object.data);
        let forbids = object.data.pointer("/status/conditions").and_then(forbids);
        let data = hash(object.data.get("data").unwrap_or(&Value::Null));
        if let Some(fields) = object.data.as_object_mut() {
            fields.remove("status");
        }
        let mut metadata = object.metadata;
        let content = hash(&json!([
            object.data,
            metadata.labels,
            metadata.annotations,
            metadata.owner_references,
            metadata.uid
        ]));
        let mut owners = metadata.owner_references.take().into_iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true));
        let mut labels = metadata.labels.take().unwrap_or_default();
        Self {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            cluster: labels.remove(names::CLUSTER).unwrap_or_default(),
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            owner: owner.map(|owner| owner.uid),
            revision: labels.remove(names::REVISION),
            content,
            data,
            replicas,
            fails,
            forbids,
            serves,
        }
    }
}

impl Object for Shown {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn cluster(&self) -> &str {
        &self.cluster
    }

    fn resource_version(&self) -> Option<&str> {
        self.resource_version.as_deref()
    }
}

/// The same in every process, so that it can be compared with what was remembered.
pub(super) fn hash(value: &Value) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(value.to_string().as_bytes());
    hasher.finish()
}

fn fails(set: &Value) -> bool {
    let conditions = set.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    conditions.any(|it| it["type"] == "ReplicaFailure" && it["reason"] == "FailedCreate")
}

fn serves(selector: &Value) -> Option<Serves> {
    match selector.get(names::REVISION) {
        Some(revision) => Some(Serves::Revision(revision.as_str()?.to_owned())),
        None => Some(Serves::All),
    }
}

/// What admission says of pods whose settings are above the namespace's pod security level.
fn forbids(conditions: &Value) -> Option<String> {
    let mut conditions = conditions.as_array()?.iter();
    let failure = conditions.find(|it| it["type"] == "ReplicaFailure" && it["status"] == "True")?;
    let message = failure["message"].as_str()?;
    message.contains("sysctl").then(|| message.to_owned())
}

/// An object in a list or a watch. It is cut down as it is read, so that a page of a list is never
/// there as a whole.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    metadata: ObjectMeta,
    shown: Shown,
}

impl From<Watched> for Shown {
    fn from(watched: Watched) -> Self {
        watched.shown
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = DynamicObject::deserialize(deserializer)?;
        let metadata = ObjectMeta {
            name: object.metadata.name.clone(),
            namespace: object.metadata.namespace.clone(),
            resource_version: object.metadata.resource_version.clone(),
            ..ObjectMeta::default()
        };
        Ok(Self {
            metadata,
            shown: Shown::from(object),
        })
    }
}

impl Resource for Watched {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(kind)
    }

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(kind)
    }

    fn version(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(kind)
    }

    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Object for Pod {
    fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    fn cluster(&self) -> &str {
        let labels = self.labels();
        let cluster = labels
            .get(names::CLUSTER)
            .or_else(|| labels.get(names::PREFLIGHT));
        cluster.map_or("", String::as_str)
    }

    fn resource_version(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref()
    }
}

/// Takes from a pod what nobody here reads: of its specification all but its node and its kernel
/// settings, containers beside the gateway, and annotations of others.
pub(super) fn strip_pod(pod: &mut Pod) {
    pod.spec = pod.spec.take().map(|spec| PodSpec {
        node_name: spec.node_name,
        security_context: spec.security_context.map(|it| PodSecurityContext {
            sysctls: it.sysctls,
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    });
    strip(&mut pod.metadata);
    if let Some(status) = &mut pod.status {
        status.init_container_statuses = None;
        status.ephemeral_container_statuses = None;
        status.resource_claim_statuses = None;
        for statuses in status.container_statuses.iter_mut() {
            statuses.retain(|container| container.name == names::GATEWAY);
            statuses.shrink_to_fit();
        }
    }
}

/// Takes from an object's metadata what nobody here reads: who wrote which field, and the annotations
/// of others.
pub(super) fn strip(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    let is_ours = |key: &str| key.starts_with(names::PREFIX) || key == names::DELETION_COST;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| is_ours(key));
    }
    metadata.annotations.take_if(|left| left.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(change: impl FnOnce(&mut Value)) -> Shown {
        let mut object = json!({
            "metadata": {
                "name": "chat-12345678", "namespace": "a", "uid": "1", "resourceVersion": "5",
                "labels": {"wse.dev/cluster": "chat", "wse.dev/revision": "1234567890abcdef"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "8"},
                    {"apiVersion": "wse.dev/v1alpha1", "kind": "WseCluster", "name": "chat", "uid": "9", "controller": true},
                ],
            },
            "spec": {"replicas": 2, "template": {"spec": {"a": "b"}}},
            "status": {"replicas": 1},
        });
        change(&mut object);
        let watched: Watched = serde_json::from_value(object).unwrap();
        watched.into()
    }

    #[test]
    fn keeps_what_is_read() {
        let shown = object(|_| {});
        assert_eq!((shown.namespace(), shown.name()), ("a", "chat-12345678"));
        assert_eq!(shown.cluster(), "chat");
        assert_eq!(shown.version(), Some(5));
        assert_eq!(shown.owner.as_deref(), Some("9"));
        assert_eq!(shown.revision(), Some("1234567890abcdef"));
        assert_eq!(shown.replicas, (2, 1));
        assert!(!shown.fails);
        let failure =
            json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]);
        assert!(object(|it| it["status"]["conditions"] = failure).fails);
    }

    #[test]
    fn only_the_controlling_owner_counts() {
        let root: Root = serde_json::from_value(json!({
            "metadata": {"name": "chat", "namespace": "a", "uid": "9"}, "spec": {},
        }))
        .unwrap();
        let owner = |change: fn(&mut Value)| {
            object(|it| change(&mut it["metadata"]["ownerReferences"][1])).is_of(&root)
        };
        assert!(owner(|_| {}));
        assert!(!owner(|it| it["controller"] = false.into()));
        assert!(!owner(|it| it["uid"] = "7".into()));
        let ours = serde_json::to_value(root.owner()).unwrap();
        let ours = object(|it| it["metadata"]["ownerReferences"] = json!([ours]));
        assert!(ours.is_of(&root));
    }

    #[test]
    fn the_content_is_what_somebody_set() {
        let content = object(|_| {}).content;
        let same: [fn(&mut Value); 2] = [
            |it| it["status"]["replicas"] = 2.into(),
            |it| it["metadata"]["resourceVersion"] = "6".into(),
        ];
        for change in same {
            assert_eq!(object(change).content, content);
        }
        let others: [fn(&mut Value); 4] = [
            |it| it["spec"]["template"]["spec"]["a"] = "c".into(),
            |it| it["metadata"]["labels"]["x"] = "y".into(),
            |it| it["metadata"]["ownerReferences"][1]["uid"] = "7".into(),
            |it| it["metadata"]["uid"] = "2".into(),
        ];
        for change in others {
            assert_ne!(object(change).content, content);
        }
    }

    #[test]
    fn a_service_serves_what_it_selects() {
        let select = |selector: Value| object(|it| it["spec"]["selector"] = selector).serves;
        let revision = json!({"wse.dev/cluster": "chat", "wse.dev/revision": "1"});
        assert_eq!(select(revision), Some(Serves::Revision("1".into())));
        let all = json!({"wse.dev/cluster": "chat"});
        assert_eq!(select(all), Some(Serves::All));
        assert_eq!(object(|_| {}).serves, None);
    }

    #[test]
    fn a_pod_keeps_its_gateway_its_kernel_settings_and_our_annotations() {
        let container = |name: &str| json!({"name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0});
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": "x", "managedFields": [{"manager": "kubelet"}],
                "annotations": {"wse.dev/draining": "now", "example.com/large": "x", names::DELETION_COST: "-1"},
            },
            "spec": {
                "containers": [container("gateway")], "nodeName": "n", "schedulerName": "x",
                "securityContext": {"runAsUser": 1, "sysctls": [{"name": "a", "value": "1"}]},
            },
            "status": {
                "phase": "Running", "podIP": "10.0.0.1",
                "containerStatuses": [container("other"), container("gateway")],
            },
        }))
        .unwrap();
        strip_pod(&mut pod);
        assert_eq!(
            serde_json::to_value(pod).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": "x",
                    "annotations": {"wse.dev/draining": "now", names::DELETION_COST: "-1"},
                },
                "spec": {
                    "containers": [], "nodeName": "n",
                    "securityContext": {"sysctls": [{"name": "a", "value": "1"}]},
                },
                "status": {
                    "phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [container("gateway")],
                },
            })
        );
    }
}
