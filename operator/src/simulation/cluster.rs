//! The cluster: pods by count, a Service, and clients who come, leave and come back. Clients are
//! numbers in pods.

use super::chance::Chance;
use super::pods::{Drain, Inside, Phase};
use super::scenario::Event;
use crate::plan::{Action, Observation, Plan, Pod, PodState, Revision, Serves};
use crate::tier::Resources;

/// Endpoints and proxies follow the Service's selector this late.
const SELECTOR_SECONDS: u64 = 2;
/// How many of the clients that lost their connection try again each second.
const TRIES: f64 = 0.5;
/// A shed asks all within so many seconds.
const SHED_SECONDS: u64 = crate::plan::SHED_WINDOW_SECONDS as u64;
const ZONES: u64 = 3;
/// The one that is lost: that of the first pod, which every fleet has.
const LOST_ZONE: u64 = 1;
/// A pod does not answer in time, for some seconds, once in so many.
const LATE_EVERY_SECONDS: f64 = 400_000.0;
const LATE_SECONDS: u64 = 5;

/// What clients did within one step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// Asked to leave, by drains and sheds.
    pub(super) asked: u32,
    /// Connected again after they had lost a connection.
    pub(super) again: u32,
}

/// The cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// What the operator sees. Its pods are in the order of `inside`.
    pub(super) observation: Observation,
    pub(super) inside: Vec<Inside>,
    /// Clients without a connection.
    pub(super) waiting: u32,
    pub(super) drain: Drain,
    /// Clients that a pod takes in each second.
    pub(super) handshakes: u32,
    /// What pods that are made now ask for.
    pub(super) resources: Resources,
    /// What the ReplicaSets were told.
    counts: Vec<Revision>,
    /// Whom the proxies still select, and until when.
    selected: (Option<Serves>, u64),
    lost_zone: Option<u64>,
    made: u64,
    pub(super) chance: Chance,
    /// What must never happen, and did.
    pub(super) breaches: Vec<String>,
}

impl Cluster {
    pub(super) fn new(resources: Resources, seed: u64) -> Self {
        Self {
            observation: Observation::default(),
            inside: Vec::new(),
            waiting: 0,
            drain: Drain {
                wait_seconds: 0,
                window_seconds: 1,
            },
            handshakes: 1,
            resources,
            counts: Vec::new(),
            selected: (None, 0),
            lost_zone: None,
            made: 0,
            chance: Chance::seeded(seed),
            breaches: Vec::new(),
        }
    }

    pub(super) fn connections(&self) -> u32 {
        self.inside.iter().map(|pod| pod.sessions).sum()
    }

    /// Whether nothing changes but by clients who come and go.
    pub(super) fn rests(&self, now: u64) -> bool {
        self.waiting == 0 && self.inside.iter().all(|pod| pod.rests(now))
    }

    /// Lets `seconds` pass. `clients` is how many there should be, `churn` the share of connections
    /// that end by themselves meanwhile. Also whether something happened that an operator is told of.
    pub(super) fn pass_time(
        &mut self,
        now: u64,
        seconds: u64,
        clients: u32,
        churn: f64,
    ) -> (Moved, bool) {
        let mut moved = Moved::default();
        self.step_pods(now);
        for pod in &mut self.inside {
            moved.asked += pod.asks(now, seconds, self.drain, &mut self.chance);
        }
        self.waiting += moved.asked;
        self.leave(clients, churn * seconds as f64);
        moved.again = self.connect(now, seconds, clients);
        self.be_late(now, seconds);
        let news = self.show(now);
        (moved, news)
    }

    /// Does as planned.
    pub(super) fn carry_out(&mut self, now: u64, plan: &Plan) {
        for action in &plan.actions {
            let (Action::Drain { pod: name }
            | Action::Shed { pod: name, .. }
            | Action::Undrain { pod: name }) = action;
            let found = self
                .observation
                .pods
                .iter()
                .position(|pod| pod.name == *name);
            let Some(index) = found else {
                self.breaches
                    .push(format!("{name} is not there: {action:?}"));
                continue;
            };
            let (pod, inside) = (&mut self.observation.pods[index], &mut self.inside[index]);
            match action {
                Action::Drain { .. } => {
                    pod.asked_to_drain = true;
                    inside.drain(now);
                }
                Action::Shed { sessions, .. } => inside.shed = (*sessions, now + SHED_SECONDS),
                Action::Undrain { .. } => {
                    pod.asked_to_drain = false;
                    inside.undrain(now);
                }
            }
        }
        if self.observation.serves.as_ref() != Some(&plan.serves) {
            let before = self.observation.serves.replace(plan.serves.clone());
            self.selected = (before, now + SELECTOR_SECONDS);
        }
        self.counts.clone_from(&plan.revisions);
        self.resources = plan.resources;
        self.fit(now);
    }

    /// Something happens.
    pub(super) fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Disconnect { percent } => {
                for pod in &mut self.inside {
                    let lost = self.chance.of(pod.sessions, f64::from(percent) / 100.0);
                    pod.sessions -= lost;
                    self.waiting += lost;
                }
            }
            Event::Image => {}
            Event::Nonsense { seconds } => {
                let some = self.inside.iter_mut().take(3);
                some.for_each(|pod| pod.nonsense = now + seconds);
            }
            Event::Silence { all, seconds } => {
                let some = if all { self.inside.len() } else { 1 };
                let some = self.inside.iter_mut().take(some);
                some.for_each(|pod| pod.silent = now + seconds);
            }
            Event::ZoneBack => self.lost_zone = None,
            Event::ZoneLost => {
                self.lost_zone = Some(LOST_ZONE);
                let lost = self.inside.iter_mut();
                for pod in lost.filter(|pod| pod.zone == LOST_ZONE) {
                    if !matches!(pod.phase, Phase::End { .. }) {
                        pod.phase = Phase::Lost { since: now };
                    }
                    self.waiting += std::mem::take(&mut pod.sessions);
                }
            }
        }
    }

    fn step_pods(&mut self, now: u64) {
        let (mut gone, mut ended) = (false, false);
        for pod in &mut self.inside {
            let ends = |pod: &Inside| matches!(pod.phase, Phase::End { .. });
            let ended_before = ends(pod);
            gone |= !pod.step(now, &mut self.chance);
            ended |= ends(pod) && !ended_before;
        }
        if gone {
            let goes = |pod: &Inside| matches!(pod.phase, Phase::End { until } if now >= until);
            let mut inside = self.inside.iter();
            let stays = |_: &Pod| inside.next().is_some_and(|pod| !goes(pod));
            self.observation.pods.retain(stays);
            self.inside.retain(|pod| !goes(pod));
        }
        if ended {
            self.fit(now);
        }
    }

    /// Connections end by themselves, and because there are fewer clients.
    fn leave(&mut self, clients: u32, churn: f64) {
        let connected = self.connections();
        let surplus = (connected + self.waiting).saturating_sub(clients);
        let share = churn + f64::from(surplus) / f64::from(connected.max(1));
        for pod in &mut self.inside {
            pod.sessions -= self.chance.of(pod.sessions, share);
        }
    }

    /// Clients connect for the first time, or again. How many of them again.
    fn connect(&mut self, now: u64, seconds: u64, clients: u32) -> u32 {
        let again = self.chance.of(self.waiting, TRIES * seconds as f64);
        let known = self.connections() + self.waiting;
        let come = again + clients.saturating_sub(known);
        self.waiting = (self.waiting + come) - again;
        if come == 0 {
            return 0;
        }
        let serves = match &self.selected {
            (before, until) if now < *until => before,
            _ => &self.observation.serves,
        };
        let selected = |pod: &Pod| match serves {
            Some(Serves::Revision(id)) => pod.revision == *id,
            Some(Serves::All) => true,
            None => false,
        };
        let pods = self.observation.pods.iter().zip(&mut self.inside);
        let mut open: Vec<&mut Inside> = pods
            .filter(|(pod, inside)| inside.is_routed() && selected(pod))
            .map(|(_, inside)| inside)
            .collect();
        let room = self.handshakes.saturating_mul(seconds as u32);
        let (drain, places) = (self.drain, open.len());
        let mut taken = 0;
        self.chance.share(come, places, |place, share| {
            let pod = &mut *open[place];
            if pod.accepts(now, drain) {
                let fits = share.min(room);
                pod.sessions += fits;
                taken += fits;
            }
        });
        self.waiting -= taken;
        taken.min(again)
    }

    /// Some pods do not answer in time.
    fn be_late(&mut self, now: u64, seconds: u64) {
        let pods = self.inside.len() as u32;
        let late = self.chance.of(pods, seconds as f64 / LATE_EVERY_SECONDS);
        self.chance.share(late, pods as usize, |place, _| {
            let pod = &mut self.inside[place];
            pod.silent = pod.silent.max(now + LATE_SECONDS);
        });
    }

    /// Brings what the operator sees up to date. Whether a pod's state changed.
    fn show(&mut self, now: u64) -> bool {
        let mut news = false;
        for (pod, inside) in self.observation.pods.iter_mut().zip(&mut self.inside) {
            let state = inside.state(now);
            inside.route(now, state);
            news |= state != pod.state;
            pod.state = state;
            pod.load = inside.load(now, self.drain);
        }
        news
    }

    /// As ReplicaSets do: makes what is missing, removes what is not ready before what is.
    fn fit(&mut self, now: u64) {
        for index in 0..self.counts.len() {
            let wanted = self.counts[index].replicas as usize;
            let have = self.of(index).count();
            for _ in have..wanted {
                self.make(now, index);
            }
            for _ in wanted..have {
                self.remove(now, index);
            }
        }
        // Those of revisions that are planned no more.
        for index in 0..self.inside.len() {
            let revision = &self.observation.pods[index].revision;
            let planned = self.counts.iter().any(|it| it.id == *revision);
            if !planned && !matches!(self.inside[index].phase, Phase::End { .. }) {
                self.end(now, index);
            }
        }
    }

    /// Where the pods of a revision are that its ReplicaSet counts.
    fn of(&self, revision: usize) -> impl Iterator<Item = usize> {
        let id = &self.counts[revision].id;
        let pods = self.observation.pods.iter().zip(&self.inside).enumerate();
        let counted = pods.filter(move |(_, (pod, inside))| {
            pod.revision == *id && !matches!(inside.phase, Phase::End { .. })
        });
        counted.map(|(index, _)| index)
    }

    fn make(&mut self, now: u64, revision: usize) {
        self.made += 1;
        let zones = (0..ZONES).filter(|zone| Some(*zone) != self.lost_zone);
        let zones: Vec<u64> = zones.collect();
        let zone = zones[self.made as usize % zones.len()];
        self.observation.pods.push(Pod {
            name: format!("pod-{}", self.made),
            revision: self.counts[revision].id.clone(),
            state: PodState::Down,
            asked_to_drain: false,
            load: None,
        });
        let inside = Inside::new(now, zone, self.resources, &mut self.chance);
        self.inside.push(inside);
    }

    fn remove(&mut self, now: u64, revision: usize) {
        let rank = |index: &usize| {
            let (pod, inside) = (&self.observation.pods[*index], &self.inside[*index]);
            let state = match inside.state(now) {
                PodState::Down | PodState::Leave => 0,
                PodState::Unready => 1,
                PodState::Ready => 2,
            };
            // The one whose deletion costs least; the youngest.
            (state, !pod.asked_to_drain, std::cmp::Reverse(*index))
        };
        if let Some(index) = self.of(revision).min_by_key(rank) {
            self.end(now, index);
        }
    }

    fn end(&mut self, now: u64, index: usize) {
        let (pod, inside) = (&self.observation.pods[index], &mut self.inside[index]);
        let is_lost = matches!(inside.phase, Phase::Lost { .. });
        if inside.sessions > 0 || (inside.phase == Phase::Up && inside.drains.is_none()) {
            let what = format!(
                "{} went undrained with {} clients",
                pod.name, inside.sessions
            );
            self.breaches.push(what);
        }
        if !is_lost {
            self.waiting += std::mem::take(&mut inside.sessions);
        }
        inside.end(now);
    }
}
