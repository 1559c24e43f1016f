//! The status: what is, in few words, written when it differs.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::json;

use super::memory::{Memory, is_stale, version};
use super::observe::Seen;
use super::pass::Pass;
use super::root::Root;
use super::shown::Shown;
use super::{Error, events, names};
use crate::api::{WseCluster, WseClusterStatus};
use crate::plan::{self, ConditionType, Plan, PodState, Serves};

/// The condition of a cluster that a person told the operator to leave alone.
pub(super) const PAUSED: &str = "Paused";
/// Longest message that a condition may have, in bytes.
const MESSAGE_BYTES: usize = 4_096;

/// Why a pass did not do all it should, as a condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Refusal {
    /// None when trying again may help.
    pub(super) fn of(error: &Error) -> Option<Self> {
        let reason = error.refusal()?;
        let message = error.to_string();
        Some(Self { reason, message })
    }
}

impl Pass<'_> {
    /// The status that was written last, which the cache may not show yet.
    pub(super) fn told(&self, memory: &Memory) -> WseClusterStatus {
        match &memory.told {
            Some((written, told)) if is_stale(version(self.root.meta()), *written) => told.clone(),
            _ => self.root.status.clone(),
        }
    }

    /// Writes the status if it is another one, and publishes what is new in it since `before`, the
    /// one when the pass began.
    pub(super) async fn tell(
        &self,
        before: &WseClusterStatus,
        status: WseClusterStatus,
        plan: Option<&Plan>,
        refusal: Option<&Refusal>,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let mut news = events::between(self.root.name(), before, &status, plan);
        news.extend(refusal.and_then(|it| events::refused(before, it.reason, &it.message)));
        self.write_status(status, memory).await?;
        for one in news {
            self.publish(&one).await;
        }
        Ok(())
    }

    /// Writes down which image was chosen, before there are pods of it: a successor with another
    /// default would choose again, and move the clients that those pods have by then.
    pub(super) async fn keep_choice(&self, plan: &Plan, memory: &mut Memory) -> Result<(), Error> {
        let mut status = self.told(memory);
        status.image = Some(plan.image.clone());
        status.revision = plan.revisions.first().map(|revision| revision.id.clone());
        self.write_status(status, memory).await
    }

    async fn write_status(
        &self,
        mut status: WseClusterStatus,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let root = self.root;
        let old = self.told(memory);
        keep_times(&old, &mut status);
        status.last_scale_time = if old.desired_replicas == status.desired_replicas {
            old.last_scale_time.clone()
        } else {
            Some(Time(Timestamp::now()))
        };
        if old == status {
            return Ok(());
        }
        let body = json!({
            "apiVersion": WseCluster::api_version(&()),
            "kind": WseCluster::kind(&()),
            "metadata": {"name": root.name(), "uid": root.uid()},
            "status": status,
        });
        let clusters: Api<Root> = Api::namespaced(self.context.client.clone(), root.namespace());
        let params = PatchParams::apply(names::STATUS_MANAGER).force();
        let written = clusters
            .patch_status(root.name(), &params, &Patch::Apply(&body))
            .await;
        let written = written.map_err(Error::api(
            "patch",
            format!("status of WseCluster {}", root.full_name()),
        ))?;
        self.wrote("WseCluster");
        memory.told = Some((version(written.meta()), status));
        Ok(())
    }
}

/// The status that a plan and what was seen come to.
pub(super) fn status(
    root: &Root,
    plan: &Plan,
    pods: &[Seen],
    sets: &[Arc<Shown>],
    refusal: Option<&Refusal>,
) -> WseClusterStatus {
    let revision = plan.revisions.first().map(|revision| revision.id.clone());
    let counted: Vec<&Seen> = pods
        .iter()
        .filter(|seen| seen.state != PodState::Leave)
        .collect();
    let count = |which: &dyn Fn(&Seen) -> bool| {
        i32::try_from(counted.iter().filter(|seen| which(seen)).count()).unwrap_or(i32::MAX)
    };
    let generation = root.meta().generation;
    let mut conditions: Vec<Condition> = plan
        .conditions
        .iter()
        .map(|it| condition(it, generation))
        .collect();
    let reasons = reasons(&counted, sets);
    let is_of_pods = |it: &&mut Condition| {
        let type_ = [ConditionType::Ready, ConditionType::Settled].map(ConditionType::name);
        type_.contains(&it.type_.as_str()) && it.status == "False"
    };
    for unwell in conditions.iter_mut().filter(is_of_pods) {
        unwell.message += &reasons;
    }
    if root.paused() {
        let message = format!(
            "nothing is changed while the annotation {} is `true`",
            names::PAUSED
        );
        conditions.push(made(PAUSED, true, "AnnotationPresent", message, generation));
    }
    if let Some(refusal) = refusal {
        refuse(&mut conditions, refusal, generation);
    }
    WseClusterStatus {
        observed_generation: generation,
        image: Some(plan.image.clone()),
        tier: Some(plan.tier.to_string()),
        replicas: count(&|_| true),
        ready_replicas: count(&|seen| seen.state == PodState::Ready && !seen.asked_to_drain()),
        updated_replicas: count(&|seen| {
            seen.pod
                .metadata
                .labels
                .as_ref()
                .and_then(|it| it.get(names::REVISION))
                == revision.as_ref()
        }),
        draining_replicas: count(&Seen::asked_to_drain),
        revision,
        selector: Some(selector(root, &plan.serves)),
        desired_replicas: i32::try_from(plan.desired).unwrap_or(i32::MAX),
        last_scale_time: None,
        kernel: None,
        conditions,
    }
}

/// Selects the pods that new clients reach. An autoscaler that took others for part of the fleet, such
/// as old ones that drain, would take the fleet for idle.
fn selector(root: &Root, serves: &Serves) -> String {
    let pods = match serves {
        Serves::All => names::pods(root.name()),
        Serves::Revision(revision) => names::pods_of(root.name(), revision),
    };
    let pods: Vec<String> = pods
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pods.join(",")
}

/// The status of a cluster that cannot be acted on: what was said `before` stays, and `Ready` says why.
pub(super) fn unactionable(
    root: &Root,
    before: &WseClusterStatus,
    refusal: &Refusal,
) -> WseClusterStatus {
    let generation = root.meta().generation;
    let mut status = before.clone();
    status.observed_generation = generation;
    refuse(&mut status.conditions, refusal, generation);
    status
}

fn refuse(conditions: &mut Vec<Condition>, refusal: &Refusal, generation: Option<i64>) {
    let ready = made(
        "Ready",
        false,
        refusal.reason,
        refusal.message.clone(),
        generation,
    );
    match conditions.iter_mut().find(|it| it.type_ == "Ready") {
        Some(old) => *old = ready,
        None => conditions.push(ready),
    }
}

/// What keeps gateways from running, for a sentence that ends before it. Words only: whole messages of
/// Kubernetes name a pod that is another one each time.
fn reasons(pods: &[&Seen], sets: &[Arc<Shown>]) -> String {
    let unscheduled = |seen: &&Seen| {
        let conditions = seen.pod.status.iter().flat_map(|it| &it.conditions);
        let is_one = |it: &PodCondition| it.type_ == "PodScheduled" && it.status == "False";
        conditions.flatten().any(is_one).then_some("Unschedulable")
    };
    let mut reasons: BTreeSet<&str> = pods.iter().filter_map(|seen| seen.waits_for()).collect();
    reasons.extend(pods.iter().filter_map(unscheduled));
    // A quota or a policy of the namespace: there is no pod that could wait for anything.
    reasons.extend(sets.iter().filter(|set| set.fails).map(|_| "FailedCreate"));
    if reasons.is_empty() {
        return String::new();
    }
    let reasons: Vec<&str> = reasons.into_iter().collect();
    format!(" ({})", reasons.join(", "))
}

fn condition(it: &plan::Condition, generation: Option<i64>) -> Condition {
    let name = it.r#type.name();
    made(name, it.holds, it.reason, it.message.clone(), generation)
}

fn made(
    type_: &str,
    holds: bool,
    reason: &str,
    mut message: String,
    generation: Option<i64>,
) -> Condition {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    Condition {
        type_: type_.into(),
        status: if holds { "True" } else { "False" }.into(),
        reason: reason.into(),
        message,
        observed_generation: generation,
        last_transition_time: Time(Timestamp::now()),
    }
}

/// A condition has the time at which its status changed, not that of the pass.
fn keep_times(old: &WseClusterStatus, new: &mut WseClusterStatus) {
    for condition in &mut new.conditions {
        let before = old.conditions.iter().find(|it| it.type_ == condition.type_);
        if let Some(before) = before.filter(|it| it.status == condition.status) {
            condition.last_transition_time = before.last_transition_time.clone();
        }
    }
}
