//! What was seen of the cluster so far: a pass reads from here, never from the API server.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};

use super::kind::Kind;
use super::names;
use super::root::Root;

/// The readers' side.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) clusters: Store<Root>,
    pods: Store<Pod>,
    owned: BTreeMap<Kind, Store<DynamicObject>>,
}

/// The watches' side.
pub(super) struct Writers {
    pub(super) clusters: Writer<Root>,
    pub(super) pods: Writer<Pod>,
    pub(super) owned: BTreeMap<Kind, Writer<DynamicObject>>,
}

impl Caches {
    /// Empty ones, and what fills them.
    pub(super) fn new() -> (Self, Writers) {
        let writers = Writers {
            clusters: Writer::default(),
            pods: Writer::default(),
            owned: Kind::WATCHED
                .map(|kind| (kind, Writer::new(kind.resource())))
                .into(),
        };
        let owned = writers.owned.iter();
        let caches = Self {
            clusters: writers.clusters.as_reader(),
            pods: writers.pods.as_reader(),
            owned: owned.map(|(kind, it)| (*kind, it.as_reader())).collect(),
        };
        (caches, writers)
    }

    /// Waits until each has been filled once. False: what fills them has ended.
    pub(super) async fn filled(&self) -> bool {
        for store in self.owned.values() {
            if store.wait_until_ready().await.is_err() {
                return false;
            }
        }
        self.pods.wait_until_ready().await.is_ok() && self.clusters.wait_until_ready().await.is_ok()
    }

    /// All clusters.
    pub(super) fn all(&self) -> Vec<ObjectRef<Root>> {
        let clusters = self.clusters.state();
        clusters.iter().map(|root| root.key()).collect()
    }

    /// The UIDs of all clusters.
    pub(super) fn uids(&self) -> HashSet<String> {
        let clusters = self.clusters.state();
        clusters.iter().map(|root| root.uid().to_owned()).collect()
    }

    /// The pods that this cluster's ReplicaSets made, by name.
    pub(super) fn pods(&self, root: &Root) -> Vec<Arc<Pod>> {
        let sets = self.replica_sets(root);
        let sets: HashSet<&str> = sets
            .iter()
            .filter_map(|set| set.metadata.uid.as_deref())
            .collect();
        let mut pods = self.pods.state_filter(|pod| {
            let owners = pod.owner_references();
            is_of(pod, root) && owners.iter().any(|owner| sets.contains(owner.uid.as_str()))
        });
        pods.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        pods
    }

    /// The ReplicaSets of this cluster.
    pub(super) fn replica_sets(&self, root: &Root) -> Vec<Arc<DynamicObject>> {
        self.owned[&Kind::ReplicaSet]
            .state_filter(|set| is_of(set, root) && root.owns(&set.metadata))
    }

    /// An object of a kind that is watched.
    pub(super) fn object(&self, kind: Kind, root: &Root, name: &str) -> Option<Arc<DynamicObject>> {
        let key = ObjectRef::new_with(name, kind.resource()).within(root.namespace());
        self.owned.get(&kind)?.get(&key)
    }
}

fn is_of(object: &impl ResourceExt, root: &Root) -> bool {
    object.namespace().as_deref() == Some(root.namespace())
        && object.labels().get(names::CLUSTER).map(String::as_str) == Some(root.name())
}
