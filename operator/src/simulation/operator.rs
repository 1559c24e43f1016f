//! The operator, as its controller calls the planner: it looks, plans, carries out, and feeds back what
//! a status would keep. What must hold of every pass is checked here.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wse_sidecar::config::Config;

use super::cluster::Cluster;
use super::fleet::Fleet;
use super::pods::{Drain, Phase};
use crate::api::WseClusterSpec;
use crate::plan::{
    self, Action, Allocated, ConditionType, Memory, Plan, Pod, PodState, Subject, plan,
};
use crate::tier::Tier;

#[derive(Debug)]
pub(super) struct Operator {
    pub(super) spec: WseClusterSpec,
    fleet: Fleet,
    memory: Memory,
    /// When the next pass is due, at the latest.
    due: u64,
    /// It is not there before then.
    away: u64,
    /// What pods were told last.
    told: Option<Config>,
    /// What the last pass said.
    pub(super) tier: Tier,
    pub(super) desired: u32,
    pub(super) is_settled: bool,
}

impl Operator {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            spec: fleet.spec(),
            fleet,
            memory: Memory::default(),
            due: 0,
            away: 0,
            told: None,
            tier: Tier::Minimal,
            desired: 0,
            is_settled: false,
        }
    }

    /// It ends, and the next one knows nothing.
    pub(super) fn restart(&mut self, now: u64, away_seconds: u64) {
        self.memory = Memory::default();
        self.away = now + away_seconds;
    }

    pub(super) fn is_due(&self, now: u64, news: bool) -> bool {
        now >= self.away && (news || now >= self.due)
    }

    /// One pass.
    pub(super) fn pass(&mut self, now: u64, cluster: &mut Cluster) {
        let subject = Subject {
            cluster: "default/chat",
            spec: &self.spec,
            secrets: Path::new("/secrets"),
            admin_token: Path::new("/admin/token"),
            default_image: "",
        };
        let observation = &cluster.observation;
        let (plan, memory) = plan(&subject, observation, &self.memory, at(now));
        self.memory = memory;
        let breaches = self.check(now, &plan, cluster);
        cluster.breaches.extend(breaches);

        let served = serving(cluster);
        cluster.carry_out(now, &plan);
        let serves = serving(cluster);
        if serves < served.min(self.fleet.least() as usize) {
            let what = format!("at {now}: {served} pods took clients, then {serves}");
            cluster.breaches.push(what);
        }
        self.feed_back(now, plan, cluster);
    }

    /// What a status and the cluster's objects keep.
    fn feed_back(&mut self, now: u64, plan: Plan, cluster: &mut Cluster) {
        let observation = &mut cluster.observation;
        observation.desired = Some(plan.desired);
        let revision = &plan.revisions[0].id;
        if observation.allocated.as_ref().map(|it| &it.revision) != Some(revision) {
            observation.allocated = Some(Allocated {
                image: plan.image.clone(),
                revision: revision.clone(),
            });
        }
        if self.told.as_ref() != Some(&plan.config) {
            observation.config = Some(plan::digest(&plan.config));
            cluster.drain = Drain {
                wait_seconds: plan.config.drain.wait_seconds.into(),
                window_seconds: plan.config.drain.window_seconds.into(),
            };
            cluster.handshakes = plan.config.limits.pending_handshakes;
            self.told = Some(plan.config);
        }
        self.tier = plan.tier;
        self.desired = plan.desired;
        let settled = plan.conditions.iter();
        self.is_settled = settled
            .filter(|it| it.r#type == ConditionType::Settled)
            .all(|it| it.holds);
        self.due = now + plan.wake_after.as_secs().max(1);
    }

    /// What must hold of a pass whatever happens.
    fn check(&self, now: u64, plan: &Plan, cluster: &Cluster) -> Vec<String> {
        let mut breaches = Vec::new();
        let mut breach = |what: String| breaches.push(format!("at {now}: {what}"));
        let pods = &cluster.observation.pods;
        let drained = plan.actions.iter().filter_map(|action| match action {
            Action::Drain { pod } => pods.iter().find(|it| it.name == *pod),
            _ => None,
        });
        let current = |pod: &&Pod| pod.revision == plan.revisions[0].id;
        let victims = drained.filter(current).count();
        let emptying = pods
            .iter()
            .filter(current)
            .any(|pod| pod.asked_to_drain && is_there(pod));
        if victims > 1 || (victims == 1 && emptying) {
            breach(format!("{victims} pods are drained at once"));
        }
        if !self.is_blind(now, cluster) {
            return breaches;
        }
        if victims > 0 {
            breach("a pod is drained while one does not say what it carries".into());
        }
        if cluster
            .observation
            .desired
            .is_some_and(|before| plan.desired < before)
        {
            breach(format!("{} pods without knowing the load", plan.desired));
        }
        if plan.tier < self.tier {
            breach(format!("tier {} without knowing the load", plan.tier));
        }
        breaches
    }

    /// Whether a pod does not say what it carries.
    fn is_blind(&self, now: u64, cluster: &Cluster) -> bool {
        let pods = cluster.observation.pods.iter().zip(&cluster.inside);
        pods.filter(|(pod, _)| is_there(pod)).any(|(pod, inside)| {
            pod.load.is_none() || (now < inside.nonsense && inside.phase == Phase::Up)
        })
    }
}

/// Pods that take clients, as the operator sees it.
fn serving(cluster: &Cluster) -> usize {
    let pods = cluster.observation.pods.iter().zip(&cluster.inside);
    let serves = |(pod, inside): &(&Pod, &super::pods::Inside)| {
        let ends = matches!(inside.phase, Phase::End { .. });
        pod.state == PodState::Ready && !pod.asked_to_drain && !ends
    };
    pods.filter(serves).count()
}

fn is_there(pod: &Pod) -> bool {
    !matches!(pod.state, PodState::Down | PodState::Leave)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}
