//! What a day was like.

use super::cluster::{Cluster, Moved};
use super::operator::Operator;
use super::pods::{Inside, Phase};
use super::scenario::DAY;
use crate::plan::{Pod, PodState};
use crate::tier::Tier;

/// A sample every so many seconds.
pub const SAMPLE_SECONDS: u64 = 120;
/// Imbalance is not judged where chance alone brings it about.
const JUDGED_MEAN: f64 = 400.0;
/// The fullest pod may have so much more than the mean.
const EVEN: f64 = 1.2;

/// A moment of a day, for plots. Rates and overload are the highest since the sample before.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since midnight.
    pub second: u64,
    /// Clients that are connected.
    pub connections: u32,
    /// Pods that take clients.
    pub ready: u32,
    /// Pods that the planner wants.
    pub desired: u32,
    /// The tier that it chose.
    pub tier: Tier,
    /// Clients that connected again after they had lost a connection, or were asked to leave.
    pub reconnects_per_second: f64,
    /// Clients that were asked to leave.
    pub asked_per_second: f64,
}

/// A day in figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// The most clients that were connected.
    pub peak_connections: u32,
    /// The most pods that were there.
    pub peak_pods: u32,
    /// Pods times hours.
    pub pod_hours: f64,
    /// Processors that pods asked for, times hours.
    pub cpu_hours: f64,
    /// GiB of memory that pods asked for, times hours.
    pub gib_hours: f64,
    /// Processors that all pods asked for at most.
    pub peak_cpus: f64,
    /// GiB of memory that all pods asked for at most.
    pub peak_gib: f64,
    /// How often the planner wanted more pods,
    pub scale_ups: u32,
    /// and fewer.
    pub scale_ins: u32,
    /// How often it turned from one to the other.
    pub turns: u32,
    /// Seconds between such a turn and the change before it, at least.
    pub shortest_turn_seconds: Option<u64>,
    /// How often the tier changed.
    pub tier_changes: u32,
    /// Clients that were asked to leave, by drains and sheds.
    pub moves: u64,
    /// The most clients that connected again in a second.
    pub reconnects_per_second: f64,
    /// The most that were asked to leave in a second, as the mean over a drain's window.
    pub asked_per_second: f64,
    /// What the fullest pod had of what it can carry, in percent.
    pub worst_percent: u32,
    /// How long a pod had more than it can carry,
    pub over_seconds: u64,
    /// and the longest time of that without a break.
    pub longest_over_seconds: u64,
    /// The longest time from the last new pod until the fullest had at most 1.2 times the mean.
    pub uneven_seconds: u64,
    /// How long shedding takes at the planner's pace after the growth that asked for most of it.
    pub spread_seconds: u64,
    /// Whether the fleet was at rest at the end.
    pub is_settled: bool,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) samples: Vec<Sample>,
    pub(super) figures: Figures,
    desired: u32,
    tier: Tier,
    /// When the planner wanted another number, and whether it was more.
    last_change: Option<(u64, bool)>,
    /// Clients asked to leave in each of the last seconds.
    asked: Vec<(u64, u64)>,
    over_since: Option<u64>,
    ready: u32,
    grown: u64,
    reconnects: f64,
    asks: f64,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            samples: Vec::new(),
            figures: Figures::default(),
            desired: 0,
            tier: Tier::Minimal,
            last_change: None,
            asked: Vec::new(),
            over_since: None,
            ready: 0,
            grown: 0,
            reconnects: 0.0,
            asks: 0.0,
        }
    }

    /// Takes down what was so for `seconds`. Before midnight nothing counts.
    pub(super) fn note(
        &mut self,
        second: Option<u64>,
        seconds: u64,
        moved: Moved,
        cluster: &Cluster,
        operator: &Operator,
    ) {
        let ready = ready(cluster).count() as u32;
        let now = second.unwrap_or_default();
        if ready > self.ready {
            self.grown = now;
            let spread = spread_seconds(cluster, operator);
            if second.is_some() {
                self.figures.spread_seconds = self.figures.spread_seconds.max(spread);
            }
        }
        self.ready = ready;
        if second.is_some() {
            self.note_choice(now, operator);
            self.note_pods(seconds, cluster);
            self.note_clients(now, seconds, moved, cluster);
            self.note_fullness(now, seconds, cluster, operator.tier);
            self.sample(now, cluster, operator);
        }
        self.desired = operator.desired;
        self.tier = operator.tier;
        self.figures.is_settled = operator.is_settled && cluster.waiting == 0;
    }

    fn note_choice(&mut self, now: u64, operator: &Operator) {
        let figures = &mut self.figures;
        figures.tier_changes += u32::from(operator.tier != self.tier);
        if operator.desired == self.desired {
            return;
        }
        let up = operator.desired > self.desired;
        figures.scale_ups += u32::from(up);
        figures.scale_ins += u32::from(!up);
        if let Some((then, was_up)) = self.last_change
            && was_up != up
        {
            figures.turns += 1;
            let shortest = figures.shortest_turn_seconds.unwrap_or(u64::MAX);
            // Growth after fewer pods is what the load asks for; only the other way round is held.
            let held = if up { shortest } else { now - then };
            figures.shortest_turn_seconds = Some(shortest.min(held)).filter(|it| *it < u64::MAX);
        }
        self.last_change = Some((now, up));
    }

    fn note_pods(&mut self, seconds: u64, cluster: &Cluster) {
        let figures = &mut self.figures;
        let (mut pods, mut cpus, mut gib) = (0, 0.0, 0.0);
        let counted = |pod: &&Inside| !matches!(pod.phase, Phase::End { .. });
        for pod in cluster.inside.iter().filter(counted) {
            pods += 1;
            cpus += f64::from(pod.resources.cpu_millicores) / 1_000.0;
            gib += (pod.resources.memory_bytes >> 20) as f64 / 1_024.0;
        }
        let hours = seconds as f64 / 3_600.0;
        figures.peak_pods = figures.peak_pods.max(pods);
        figures.pod_hours += f64::from(pods) * hours;
        figures.cpu_hours += cpus * hours;
        figures.gib_hours += gib * hours;
        figures.peak_cpus = figures.peak_cpus.max(cpus);
        figures.peak_gib = figures.peak_gib.max(gib);
    }

    fn note_clients(&mut self, now: u64, seconds: u64, moved: Moved, cluster: &Cluster) {
        let figures = &mut self.figures;
        figures.moves += u64::from(moved.asked);
        figures.peak_connections = figures.peak_connections.max(cluster.connections());
        let again = f64::from(moved.again) / seconds as f64;
        figures.reconnects_per_second = figures.reconnects_per_second.max(again);
        self.reconnects = self.reconnects.max(again);

        let window = cluster.drain.window_seconds;
        if moved.asked > 0 {
            self.asked.push((now, moved.asked.into()));
        }
        self.asked.retain(|(then, _)| then + window > now);
        let asked = self.asked.iter().map(|(_, asked)| asked).sum::<u64>();
        let mean = asked as f64 / window as f64;
        figures.asked_per_second = figures.asked_per_second.max(mean);
        self.asks = self.asks.max(mean);
    }

    fn note_fullness(&mut self, now: u64, seconds: u64, cluster: &Cluster, tier: Tier) {
        let figures = &mut self.figures;
        let capacity = u64::from(tier.figures().connections_per_pod);
        let most = ready(cluster).map(|pod| pod.sessions).max();
        let most = u64::from(most.unwrap_or_default());
        let percent = (most * 100).div_ceil(capacity) as u32;
        figures.worst_percent = figures.worst_percent.max(percent);
        if most > capacity {
            figures.over_seconds += seconds;
            let began = now.saturating_sub(seconds);
            let longest = now - *self.over_since.get_or_insert(began);
            figures.longest_over_seconds = figures.longest_over_seconds.max(longest);
        } else {
            self.over_since = None;
        }

        let sum: u64 = ready(cluster).map(|pod| u64::from(pod.sessions)).sum();
        let mean = sum as f64 / f64::from(self.ready.max(1));
        if mean >= JUDGED_MEAN && most as f64 > EVEN * mean {
            let uneven = now - self.grown;
            figures.uneven_seconds = figures.uneven_seconds.max(uneven);
        }
    }

    fn sample(&mut self, now: u64, cluster: &Cluster, operator: &Operator) {
        let next = self
            .samples
            .last()
            .map_or(0, |last| last.second + SAMPLE_SECONDS);
        if now < next || now >= DAY {
            return;
        }
        self.samples.push(Sample {
            second: now / SAMPLE_SECONDS * SAMPLE_SECONDS,
            connections: cluster.connections(),
            ready: self.ready,
            desired: operator.desired,
            tier: operator.tier,
            reconnects_per_second: std::mem::take(&mut self.reconnects),
            asked_per_second: std::mem::take(&mut self.asks),
        });
    }
}

/// The pods that take clients, if their node is there.
fn ready(cluster: &Cluster) -> impl Iterator<Item = &Inside> {
    let pods = cluster.observation.pods.iter().zip(&cluster.inside);
    let takes = |(pod, inside): &(&Pod, &Inside)| {
        pod.state == PodState::Ready && !pod.asked_to_drain && inside.phase == Phase::Up
    };
    pods.filter(takes).map(|(_, inside)| inside)
}

/// How long it takes to shed what pods have above the mean: half of what may leave, in ten of every
/// fifteen seconds, and some of those who leave come back to pods that are as full.
fn spread_seconds(cluster: &Cluster, operator: &Operator) -> u64 {
    let sessions: Vec<u64> = ready(cluster).map(|pod| pod.sessions.into()).collect();
    let count = sessions.len() as u64;
    let mean = sessions.iter().sum::<u64>() / count.max(1);
    let above: u64 = sessions.iter().map(|it| it.saturating_sub(mean)).sum();
    let emptier = sessions.iter().filter(|it| **it <= mean).count() as u64;
    let pace = u64::from(operator.spec.drain.reconnects_per_second) / 3;
    above * count / (pace * emptier.max(1)).max(1)
}
