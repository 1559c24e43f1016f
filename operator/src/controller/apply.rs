//! Makes objects what they should be. An object is applied when what is wanted or what is there has
//! changed since it was applied last, so nothing is written where nothing changed, and what a hand
//! changed is put back.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use serde_json::json;

use super::index::Object;
use super::kind::Kind;
use super::memory::{Applied, Memory, is_stale};
use super::pass::Pass;
use super::render::Wanted;
use super::shown::{Shown, hash};
use super::{Error, names};
use crate::plan::Plan;

/// What is known to be there.
enum There {
    /// The cache shows an older version than was applied: what was applied is there.
    AsApplied,
    Nothing,
    Object(Arc<Shown>),
}

impl Pass<'_> {
    /// Makes one object what it should be.
    ///
    /// # Errors
    /// When it is not this cluster's, or the API server does not take it.
    pub(super) async fn apply(&self, wanted: &Wanted, memory: &mut Memory) -> Result<(), Error> {
        let key = (wanted.kind, wanted.name.clone());
        let hash = hash(&wanted.body);
        let last = memory.applied.get(&key).copied();
        let same = last.filter(|last| last.wanted == hash);
        match self.there(wanted, last).await? {
            There::AsApplied if same.is_some() => return Ok(()),
            There::Object(object) if !object.is_of(self.root) => {
                return Err(Error::NameTaken(self.label(wanted.kind, &wanted.name)));
            }
            There::Object(object) if same.is_some_and(|it| it.there == object.content) => {
                return Ok(());
            }
            There::AsApplied | There::Nothing | There::Object(_) => {}
        }
        let params = PatchParams::apply(names::MANAGER).force();
        let applied = self
            .api(wanted.kind)
            .patch(&wanted.name, &params, &Patch::Apply(&wanted.body))
            .await
            .map_err(Error::api("patch", self.label(wanted.kind, &wanted.name)))?;
        self.wrote(wanted.kind.name());
        let applied = Shown::from(applied);
        let applied = Applied {
            wanted: hash,
            there: applied.content,
            version: applied.version(),
        };
        memory.applied.insert(key, applied);
        Ok(())
    }

    /// Gives the ReplicaSets of older revisions their counts, and removes those that are empty.
    pub(super) async fn shrink(&self, plan: &Plan, memory: &mut Memory) -> Result<(), Error> {
        let sets = self.caches.replica_sets(self.root);
        let current = plan.revisions.first().map(|revision| revision.id.as_str());
        let mut known: HashSet<String> = sets.iter().map(|set| set.name().to_owned()).collect();
        // The cache may not show the newest yet.
        known.extend(current.map(|revision| names::replica_set(self.root.name(), revision)));
        let stays =
            |(kind, name): &(Kind, String)| *kind != Kind::ReplicaSet || known.contains(name);
        memory.applied.retain(|key, _| stays(key));
        for set in sets {
            let revision = set.revision();
            if revision == current {
                continue;
            }
            let planned = plan
                .revisions
                .iter()
                .find(|it| Some(it.id.as_str()) == revision);
            let (wanted, there) = set.replicas;
            if planned.is_none() && there > 0 {
                // It has pods that the cache does not show yet. The next pass plans for them.
                continue;
            }
            let replicas = planned.map_or(0, |it| it.replicas);
            if replicas == 0 && wanted == 0 && there == 0 {
                self.remove(&set).await?;
            } else if wanted != u64::from(replicas) {
                self.resize(&set, replicas).await?;
            }
        }
        Ok(())
    }

    async fn resize(&self, set: &Shown, replicas: u32) -> Result<(), Error> {
        let name = set.name();
        // Only this field: what the rest was rendered from is not known any more.
        let patch = json!({"spec": {"replicas": replicas}, "metadata": {"uid": set.uid()}});
        let params = PatchParams {
            field_manager: Some(names::MANAGER.into()),
            ..PatchParams::default()
        };
        let patched = self
            .api(Kind::ReplicaSet)
            .patch(name, &params, &Patch::Merge(&patch))
            .await;
        patched.map_err(Error::api("patch", self.label(Kind::ReplicaSet, name)))?;
        self.wrote(Kind::ReplicaSet.name());
        Ok(())
    }

    async fn remove(&self, set: &Shown) -> Result<(), Error> {
        let name = set.name();
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: set.uid().map(str::to_owned),
                // A newer one may have got pods.
                resource_version: set.resource_version().map(str::to_owned),
            }),
            ..DeleteParams::background()
        };
        let sets: Api<ReplicaSet> =
            Api::namespaced(self.context.client.clone(), self.root.namespace());
        match sets.delete(name, &params).await {
            Ok(_) => self.wrote(Kind::ReplicaSet.name()),
            // The cache had not followed.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                return Err(Error::api("delete", self.label(Kind::ReplicaSet, name))(
                    error,
                ));
            }
        }
        Ok(())
    }

    async fn there(&self, wanted: &Wanted, last: Option<Applied>) -> Result<There, Error> {
        let applied = last.and_then(|last| last.version);
        if let Some(object) = self.caches.object(wanted.kind, self.root, &wanted.name) {
            let stale = is_stale(object.version(), applied);
            return Ok(if stale {
                There::AsApplied
            } else {
                There::Object(object)
            });
        }
        // Not made yet, or made a moment ago, or not labelled as ours because it is somebody else's.
        let found = self.api(wanted.kind).get_opt(&wanted.name).await;
        let found = found.map_err(Error::api("get", self.label(wanted.kind, &wanted.name)))?;
        Ok(found.map_or(There::Nothing, |object| {
            There::Object(Arc::new(object.into()))
        }))
    }

    pub(super) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let client = self.context.client.clone();
        Api::namespaced_with(client, self.root.namespace(), &kind.resource())
    }

    /// Counts a call that wrote.
    pub(super) fn wrote(&self, kind: &str) {
        self.acts();
        self.context.metrics.writes.with_label_values(&[kind]).inc();
    }

    pub(super) fn label(&self, kind: Kind, name: &str) -> String {
        format!("{} {}/{name}", kind.name(), self.root.namespace())
    }
}
