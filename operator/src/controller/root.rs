//! A `WseCluster` as far as this build can read it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::names;
use crate::api::{WseCluster, WseClusterSpec, WseClusterStatus};

/// A `WseCluster` of which the specification may be unreadable: one such object must not hide the
/// others, and its own status must be able to say so.
#[derive(Clone, Debug)]
pub(super) struct Root {
    metadata: ObjectMeta,
    /// What is wanted, or why it cannot be read.
    pub(super) spec: Result<WseClusterSpec, String>,
    /// What was told last. A status that cannot be read is as none.
    pub(super) status: WseClusterStatus,
}

impl Root {
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// `<namespace>/<name>`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    /// What it is called by in queues and maps.
    pub(super) fn key(&self) -> ObjectRef<Self> {
        ObjectRef::new(self.name()).within(self.namespace())
    }

    /// Whether nothing but the status may be written.
    pub(super) fn paused(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        let paused = annotations.and_then(|all| all.get(names::PAUSED));
        paused.is_some_and(|value| value == "true")
    }

    /// Whether it is on its way out, and its objects with it.
    pub(super) fn ends(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// The whole object, as far as it can be read.
    pub(super) fn cluster(&self) -> Option<WseCluster> {
        Some(WseCluster {
            metadata: self.metadata.clone(),
            spec: self.spec.as_ref().ok()?.clone(),
            status: None,
        })
    }

    /// Whether an object says that this cluster made it.
    pub(super) fn owns(&self, object: &ObjectMeta) -> bool {
        let mut owners = object.owner_references.iter().flatten();
        owners.any(|owner| owner.controller == Some(true) && owner.uid == self.uid())
    }

    /// Says in an object that this cluster made it.
    pub(super) fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: WseCluster::api_version(&()).into_owned(),
            kind: WseCluster::kind(&()).into_owned(),
            name: self.name().into(),
            uid: self.uid().into(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            metadata: ObjectMeta,
            #[serde(default)]
            spec: Value,
            #[serde(default)]
            status: Value,
        }
        let raw = Raw::deserialize(deserializer)?;
        Ok(Self {
            metadata: raw.metadata,
            spec: serde_path_to_error::deserialize(raw.spec)
                .map_err(|error| format!("spec.{}: {}", error.path(), error.inner())),
            status: serde_json::from_value(raw.status).unwrap_or_default(),
        })
    }
}

impl Resource for Root {
    type DynamicType = ();
    type Scope = <WseCluster as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        WseCluster::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        WseCluster::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        WseCluster::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        WseCluster::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unreadable_spec_keeps_its_status_and_says_where() {
        let root: Root = serde_json::from_value(json!({
            "metadata": {"name": "chat", "namespace": "a"},
            "spec": {"capacity": {"tier": "Gigantic"}},
            "status": {"replicas": 3},
        }))
        .unwrap();
        let error = root.spec.unwrap_err();
        assert!(error.starts_with("spec.capacity.tier: "), "{error}");
        assert!(error.contains("Gigantic"), "{error}");
        assert_eq!(root.status.replicas, 3);
    }
}
