//! The pod that tries kernel settings, and pods that a kubelet turned away for theirs.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, PodStatus, Sysctl};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};

use super::caches::Caches;
use super::error::words;
use super::events::News;
use super::memory::Memory;
use super::observe::Seen;
use super::pass::Pass;
use super::root::Root;
use super::{Error, names, render};
use crate::api::{WseClusterSpec, WseClusterStatus};
use crate::plan::{Astray, Barred, Outcome, Plan, Preflight, Rejected, Step, Trial};

/// How a kubelet says that it does not allow a setting.
const FORBIDDEN: &str = "SysctlForbidden";
/// When a preflight that may not be made is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// A preflight that may not be made.
#[derive(Clone, Debug)]
pub(super) struct Denied {
    digest: String,
    why: String,
    at: Instant,
}

/// The cluster's preflight, if there is one or if it may not be made.
pub(super) fn observe(root: &Root, caches: &Caches, memory: &Memory) -> Option<Preflight> {
    let name = names::preflight(root.name());
    if let Some(pod) = caches.preflight(root) {
        return Some(Preflight {
            pod: name,
            digest: pod
                .annotations()
                .get(names::TRIES)
                .cloned()
                .unwrap_or_default(),
            sysctls: sysctls(&pod),
            outcome: outcome(&pod),
        });
    }
    let denied = memory.denied.as_ref()?;
    Some(Preflight {
        pod: name,
        digest: denied.digest.clone(),
        sysctls: Vec::new(),
        outcome: Outcome::Denied(denied.why.clone()),
    })
}

/// The pods of the fleet that were turned away.
pub(super) fn rejected(pods: &[Seen]) -> Vec<Rejected> {
    let pods = pods.iter().map(|seen| &*seen.pod);
    pods.filter(|pod| is_forbidden(pod))
        .map(|pod| Rejected {
            pod: pod.name_any(),
            node: node(pod),
            sysctls: sysctls(pod),
            message: status(pod)
                .and_then(|it| it.message.clone())
                .unwrap_or_default(),
        })
        .collect()
}

/// Why no pod may be made with the settings that new pods have, if the API server says so.
pub(super) fn barred(root: &Root, caches: &Caches, told: &WseClusterStatus) -> Option<Barred> {
    let sets = caches.replica_sets(root);
    let mut waiting = sets.iter().filter(|set| set.replicas.0 > set.replicas.1);
    let message = waiting.find_map(|set| set.forbids.clone())?;
    let applied = &told.kernel.as_ref()?.applied_sysctls;
    Some(Barred {
        sysctls: applied.iter().map(|it| it.name.clone()).collect(),
        message,
    })
}

/// The pods that do not have what they ask for, as far as their gateways see it.
pub(super) fn astray(pods: &[Seen]) -> Vec<Astray> {
    let astray = |seen: &Seen| {
        let told = seen.told.as_ref()?;
        let differs = |it: &&Sysctl| {
            let value = told.sysctls.get(&it.name);
            value.is_some_and(|it_has| !it_has.split_whitespace().eq(it.value.split_whitespace()))
        };
        let sysctls: Vec<String> = asked(&seen.pod)
            .filter(differs)
            .map(|it| it.name.clone())
            .collect();
        let pod = seen.name();
        (!sysctls.is_empty()).then_some(Astray { pod, sysctls })
    };
    pods.iter().filter_map(astray).collect()
}

impl Pass<'_> {
    /// Takes the steps that are about kernel settings.
    pub(super) async fn try_out(
        &self,
        spec: &WseClusterSpec,
        plan: &Plan,
        pods: &[Seen],
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let steps = &plan.tuning.steps;
        if !steps.iter().any(|it| matches!(it, Step::Preflight(_))) {
            memory.denied = None;
        }
        for step in steps {
            match step {
                Step::Discard { pod } => {
                    if let Some(seen) = pods.iter().find(|seen| seen.name() == *pod) {
                        self.delete(&seen.pod).await?;
                    }
                }
                Step::EndPreflight => {
                    if let Some(pod) = self.caches.preflight(self.root) {
                        self.delete(&pod).await?;
                    }
                }
                Step::Preflight(trial) => self.preflight(spec, plan, trial, memory).await?,
            }
        }
        Ok(())
    }

    async fn preflight(
        &self,
        spec: &WseClusterSpec,
        plan: &Plan,
        trial: &Trial,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let denied = memory.denied.as_ref();
        if denied.is_some_and(|it| it.digest == trial.digest && it.at.elapsed() < AGAIN) {
            return Ok(());
        }
        let body = render::preflight(self.root, spec, plan, trial).map_err(Error::PodTemplate)?;
        let pod: Pod = serde_json::from_value(body)
            .map_err(|error| Error::PodTemplate(format!("podTemplate.spec: {error}")))?;
        let name = pod.name_any();
        let what = || format!("Pod {}/{name}", self.root.namespace());
        let params = PostParams {
            field_manager: Some(names::MANAGER.into()),
            ..PostParams::default()
        };
        let why = match self.pods().create(&params, &pod).await {
            Ok(_) => {
                self.wrote("Pod");
                memory.denied = None;
                self.publish(&News::preflight(&name)).await;
                return Ok(());
            }
            // Made a moment ago, or not made by us.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let there = self.pods().get_opt(&name).await;
                let there = there.map_err(Error::api("get", what()))?;
                match there {
                    Some(there) if !self.root.owns(&there.metadata) => {
                        format!("{} exists and was not made for this WseCluster", what())
                    }
                    _ => return Ok(()),
                }
            }
            Err(error) => {
                let told = words(&error);
                let error = Error::api("create", what())(error);
                if error.refusal().is_none() {
                    return Err(error);
                }
                told
            }
        };
        memory.denied = Some(Denied {
            digest: trial.digest.clone(),
            why,
            at: Instant::now(),
        });
        Ok(())
    }

    async fn delete(&self, pod: &Pod) -> Result<(), Error> {
        let name = pod.name_any();
        let params = DeleteParams {
            // So that a pod that took the name is not meant.
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                ..Preconditions::default()
            }),
            ..DeleteParams::default()
        };
        match self.pods().delete(&name, &params).await {
            Ok(_) => self.wrote("Pod"),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                let what = format!("Pod {}/{name}", self.root.namespace());
                return Err(Error::api("delete", what)(error));
            }
        }
        Ok(())
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), self.root.namespace())
    }
}

fn outcome(pod: &Pod) -> Outcome {
    let Some(status) = status(pod) else {
        return Outcome::Pending(None);
    };
    let why = || {
        let texts = [status.reason.as_deref(), status.message.as_deref()];
        texts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    if is_forbidden(pod) {
        let message = status.message.clone().unwrap_or_else(|| FORBIDDEN.into());
        return Outcome::Forbidden(match node(pod).as_str() {
            "" => message,
            node => format!("node {node} says: {message}"),
        });
    }
    if has_run(status) {
        return Outcome::Passed;
    }
    match status.phase.as_deref() {
        // Somebody wants another try, which begins when it is gone.
        _ if pod.metadata.deletion_timestamp.is_some() => Outcome::Pending(None),
        Some("Succeeded") => Outcome::Passed,
        Some("Failed") => Outcome::Failed(why()),
        _ => Outcome::Pending(waits_for(status)),
    }
}

/// Whether its container was started, so that its settings were in force.
fn has_run(status: &PodStatus) -> bool {
    let states = status.container_statuses.iter().flatten();
    let mut states = states.filter_map(|container| container.state.as_ref());
    states.any(|it| it.running.is_some() || it.terminated.is_some())
}

/// In words that do not change from one moment to the next.
fn waits_for(status: &PodStatus) -> Option<String> {
    let mut conditions = status.conditions.iter().flatten();
    let unplaced = conditions.find(|it| it.type_ == "PodScheduled" && it.status == "False");
    if let Some(it) = unplaced {
        return it.reason.clone();
    }
    let mut containers = status.container_statuses.iter().flatten();
    let waits = containers.find_map(|it| it.state.as_ref()?.waiting.as_ref()?.reason.clone());
    waits.filter(|reason| reason != "ContainerCreating")
}

fn is_forbidden(pod: &Pod) -> bool {
    let forbids = |status: &PodStatus| {
        status.phase.as_deref() == Some("Failed") && status.reason.as_deref() == Some(FORBIDDEN)
    };
    pod.metadata.deletion_timestamp.is_none() && status(pod).is_some_and(forbids)
}

fn status(pod: &Pod) -> Option<&PodStatus> {
    pod.status.as_ref()
}

fn node(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    spec.and_then(|it| it.node_name.clone()).unwrap_or_default()
}

/// Names of the settings that a pod asks for.
fn sysctls(pod: &Pod) -> Vec<String> {
    asked(pod).map(|it| it.name.clone()).collect()
}

/// The settings that a pod asks for.
fn asked(pod: &Pod) -> impl Iterator<Item = &Sysctl> {
    let context = pod
        .spec
        .as_ref()
        .and_then(|it| it.security_context.as_ref());
    context
        .and_then(|it| it.sysctls.as_ref())
        .into_iter()
        .flatten()
}
