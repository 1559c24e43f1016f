//! What was seen of the cluster so far: a pass reads from here, never from the API server.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::store::Writer as StoreWriter;
use kube::runtime::reflector::{ObjectRef, Store};

use super::index::{Index, Writer, index};
use super::kind::Kind;
use super::names;
use super::root::Root;
use super::shown::Shown;

/// The readers' side.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) clusters: Store<Root>,
    pods: Index<Pod>,
    owned: BTreeMap<Kind, Index<Shown>>,
}

/// The watches' side.
pub(super) struct Writers {
    pub(super) clusters: StoreWriter<Root>,
    pub(super) pods: Writer<Pod>,
    pub(super) owned: BTreeMap<Kind, Writer<Shown>>,
}

impl Caches {
    /// Empty ones, and what fills them.
    pub(super) fn new() -> (Self, Writers) {
        let clusters = StoreWriter::default();
        let (pods, pods_writer) = index();
        let (mut owned, mut owned_writers) = (BTreeMap::new(), BTreeMap::new());
        for kind in Kind::WATCHED {
            let (index, writer) = index();
            owned.insert(kind, index);
            owned_writers.insert(kind, writer);
        }
        let caches = Self {
            clusters: clusters.as_reader(),
            pods,
            owned,
        };
        let writers = Writers {
            clusters,
            pods: pods_writer,
            owned: owned_writers,
        };
        (caches, writers)
    }

    /// Waits until each has been filled once. False: what fills them has ended.
    pub(super) async fn filled(&self) -> bool {
        for index in self.owned.values() {
            if !index.filled().await {
                return false;
            }
        }
        self.pods.filled().await && self.clusters.wait_until_ready().await.is_ok()
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
        let sets: HashSet<&str> = sets.iter().filter_map(|set| set.uid()).collect();
        let mut pods = self.pods.of(root.namespace(), root.name());
        pods.retain(|pod| {
            let mut owners = pod.owner_references().iter();
            owners.any(|owner| sets.contains(owner.uid.as_str()))
        });
        pods
    }

    /// The pod that tries kernel settings for this cluster.
    pub(super) fn preflight(&self, root: &Root) -> Option<Arc<Pod>> {
        let name = names::preflight(root.name());
        let pod = self.pods.named(root.namespace(), &name)?;
        root.owns(&pod.metadata).then_some(pod)
    }

    /// The ReplicaSets of this cluster.
    pub(super) fn replica_sets(&self, root: &Root) -> Vec<Arc<Shown>> {
        let mut sets = self.owned[&Kind::ReplicaSet].of(root.namespace(), root.name());
        sets.retain(|set| set.is_of(root));
        sets
    }

    /// An object of a kind that is watched.
    pub(super) fn object(&self, kind: Kind, root: &Root, name: &str) -> Option<Arc<Shown>> {
        self.owned.get(&kind)?.named(root.namespace(), name)
    }
}
