//! The steps of a plan, and what a pod has to be told: annotations, and its own `/drain`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::events::News;
use super::kind::Kind;
use super::memory::{Annotated, Memory, version};
use super::observe::Seen;
use super::pass::Pass;
use super::prober::Pace;
use super::render::{Wanted, admin_secret};
use super::shown::hash;
use super::{Error, names};
use crate::ask::Refusal;
use crate::plan::{Action, PodState};
use crate::random;

/// A drained pod goes first.
const COST: &str = "-1000";
/// How long the admin token is believed without being read again, while pods come, go or drain: they
/// cannot start without it.
const BELIEVED: Duration = Duration::from_secs(60);
/// And while nothing is under way, so that clusters at rest cost the API server next to nothing.
const BELIEVED_AT_REST: Duration = Duration::from_secs(3_600);

impl Pass<'_> {
    /// The admin token: the one in its Secret, which is made where it is missing.
    pub(super) async fn admin_token(
        &self,
        pace: Pace,
        memory: &mut Memory,
    ) -> Result<String, Error> {
        let believed = match pace {
            Pace::Busy => BELIEVED,
            Pace::Rest => BELIEVED_AT_REST,
        };
        let known = memory.token.as_ref();
        if let Some((token, _)) = known.filter(|(_, read)| read.elapsed() < believed) {
            return Ok(token.clone());
        }
        let name = names::admin_secret(self.root.name());
        let found = self.api(Kind::Secret).get_opt(&name).await;
        let found = found.map_err(Error::api("get", self.label(Kind::Secret, &name)))?;
        let token = match found.as_ref().and_then(token) {
            Some(token) => token,
            None => random::text().map_err(Error::Random)?,
        };
        self.apply(&admin_secret(self.root, &token), memory).await?;
        memory.token = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    /// Whether the cache shows the configuration that is wanted. A kubelet that is told of it before
    /// it has the ConfigMap keeps the old files until its next look, a minute or two later.
    pub(super) fn shows_config(&self, wanted: &[Wanted]) -> bool {
        wanted
            .iter()
            .filter(|it| it.kind == Kind::ConfigMap)
            .all(|it| {
                let shown = self.caches.object(it.kind, self.root, &it.name);
                shown.is_some_and(|shown| shown.data == hash(&it.body["data"]))
            })
    }

    /// Has the kubelets bring the files of every pod up to date at once.
    pub(super) async fn refresh(
        &self,
        pods: &[Seen],
        digest: &str,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let behind = pods.iter().filter(|seen| {
            seen.state != PodState::Leave
                && seen.annotations.get(names::CONFIG).map(String::as_str) != Some(digest)
        });
        for seen in behind {
            self.annotate(seen, &json!({names::CONFIG: digest}), memory)
                .await?;
        }
        Ok(())
    }

    /// Takes the steps, and repeats those that a gateway does not know of: it was not reached, or
    /// its process is another one since.
    pub(super) async fn act(
        &self,
        actions: &[Action],
        pods: &[Seen],
        token: &str,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        for seen in pods {
            let of = |action: &&Action| match action {
                Action::Drain { pod } | Action::Shed { pod, .. } | Action::Undrain { pod } => {
                    *pod == seen.name()
                }
            };
            match actions.iter().find(of) {
                Some(Action::Drain { .. }) => {
                    // Recorded first: whoever comes after must know, should this process end here.
                    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                    let record = json!({names::DRAINING: now, names::DELETION_COST: COST});
                    self.annotate(seen, &record, memory).await?;
                    self.tell_drain(seen, true, token, memory).await;
                    self.publish(&News::drain(&seen.name())).await;
                }
                Some(Action::Shed { sessions, .. }) => self.shed(seen, *sessions, token).await,
                Some(Action::Undrain { .. }) => {
                    if self.tell_drain(seen, false, token, memory).await {
                        let record = json!({names::DRAINING: null, names::DELETION_COST: null});
                        self.annotate(seen, &record, memory).await?;
                        self.publish(&News::undrain(&seen.name())).await;
                    }
                }
                None => self.follow_up(seen, token, memory).await,
            }
        }
        Ok(())
    }

    /// One that does not hear of it keeps its clients, until the next round.
    async fn shed(&self, seen: &Seen, sessions: u32, token: &str) {
        let Some(admin) = seen.admin else {
            return;
        };
        match self.context.ask.shed(admin, token, sessions).await {
            Ok(()) => self.publish(&News::shed(&seen.name(), sessions)).await,
            Err(refusal) => tracing::warn!(
                cluster = self.root.full_name(),
                pod = seen.name(),
                "cannot rebalance: {refusal}"
            ),
        }
    }

    async fn follow_up(&self, seen: &Seen, token: &str, memory: &mut Memory) {
        let told = seen.told.as_ref();
        let Some(told) = told.filter(|_| seen.state != PodState::Leave) else {
            return;
        };
        if seen.asked_to_drain() && !told.drains {
            self.tell_drain(seen, true, token, memory).await;
        }
        let uid = seen.pod.uid().unwrap_or_default();
        if seen.asked_to_drain() && told.load.is_emptied() && memory.emptied.insert(uid) {
            self.publish(&News::emptied(&seen.name())).await;
        }
    }

    /// Whether it does so. Otherwise a later pass asks again.
    async fn tell_drain(&self, seen: &Seen, on: bool, token: &str, memory: &mut Memory) -> bool {
        // A pod without a process has nobody to tell: the annotation will be followed up.
        let Some(admin) = seen.admin.filter(|_| seen.state != PodState::Down) else {
            return !on;
        };
        // One that does not say how it is would not hear this either, and a pass would wait for it. It
        // is told when it answers.
        if seen.told.is_none() {
            return false;
        }
        let pod = seen.name();
        self.acts();
        let done = self.context.ask.drain(admin, token, on).await;
        // Whatever came of it: what the pod said before proves nothing about after.
        let uid = seen.pod.uid().unwrap_or_default();
        self.prober.forget(&self.root.key(), &uid);
        match done {
            Ok(()) => return true,
            Err(refusal) => {
                tracing::warn!(
                    cluster = self.root.full_name(),
                    pod,
                    on,
                    "cannot tell a pod to drain: {refusal}"
                );
                // Somebody changed the Secret.
                if matches!(refusal, Refusal::Token(_)) {
                    memory.token = None;
                }
            }
        }
        false
    }

    async fn annotate(
        &self,
        seen: &Seen,
        annotations: &Value,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let name = seen.name();
        let params = PatchParams {
            field_manager: Some(names::MANAGER.into()),
            ..PatchParams::default()
        };
        // The UID, so that a pod that took the name is not meant.
        let patch = json!({"metadata": {"uid": seen.pod.uid(), "annotations": annotations}});
        let pod = match self
            .pods()
            .patch(&name, &params, &Patch::Merge(&patch))
            .await
        {
            Ok(pod) => pod,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
            Err(error) => {
                let what = format!("Pod {}/{name}", self.root.namespace());
                return Err(Error::api("patch", what)(error));
            }
        };
        self.wrote("Pod");
        if let Some(uid) = pod.uid() {
            let written = Annotated {
                version: version(&pod.metadata),
                annotations: pod.metadata.annotations.unwrap_or_else(BTreeMap::new),
            };
            memory.annotated.insert(uid, written);
        }
        Ok(())
    }
}

/// The token in the Secret, if it is one: an entry that somebody emptied protects nothing.
fn token(secret: &DynamicObject) -> Option<String> {
    let encoded = secret.data.pointer(&format!("/data/{}", names::TOKEN))?;
    let bytes: k8s_openapi::ByteString = serde_json::from_value(encoded.clone()).ok()?;
    let text = String::from_utf8(bytes.0).ok()?;
    let text = text.trim();
    (text.len() >= 16).then(|| text.to_owned())
}
