//! Rebalancing: pods that have more clients than others ask some of them to leave. A pod that is new,
//! or was lost and has come back, gets only new clients by itself.
//!
//! Those who leave come back to any pod, also to the one they left, so it takes rounds, each of which
//! asks for what a pod has above the mean. Clients that always come back to the same pod (a load
//! balancer that holds them to it) are left alone after some rounds.

use std::time::{Duration, SystemTime};

use super::fleet::{Fleet, Progress};
use super::{Action, Observation, Pod, SHED_WINDOW_SECONDS};
use crate::api::{Rebalance, WseClusterSpec};

/// A round: clients leave, come back, and are counted again.
const ROUND: Duration = Duration::from_secs(SHED_WINDOW_SECONDS as u64 + 5);
/// Rounds that do not get clients spread before they are left alone.
const MOST_ROUNDS: u32 = 8;
/// Clients that leave fuller pods come to emptier ones as chance has it. That so many percent of that
/// many did is enough to go on: others come and go meanwhile.
const HELPS_PERCENT: u64 = 25;
/// How far above the mean a pod may be, in percent.
const BAND_PERCENT: u64 = 15;

/// What was done about the fleet as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Rounds {
    last: Option<SystemTime>,
    /// Rounds since it was last seen whether they help,
    count: u32,
    /// how many clients pods had above the mean then,
    above: u64,
    /// and how many fewer that should be by now.
    hoped: u64,
    pods: Vec<String>,
}

impl Rounds {
    /// Begins to count again.
    fn restart(&mut self) {
        (self.count, self.above, self.hoped) = (0, 0, 0);
    }

    /// How long clients are still on their way. A drain would add to that.
    pub(super) fn busy(&self, now: SystemTime) -> Duration {
        let Some(age) = self.last.map(|last| now.duration_since(last)) else {
            return Duration::ZERO;
        };
        // After a clock was set back nobody knows.
        ROUND.saturating_sub(age.unwrap_or_default())
    }
}

/// How evenly clients are spread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Even,
    /// Not known, or something else is under way.
    Later,
    /// Nobody is asked, because the spec says so.
    Off,
    /// Clients are asked to leave fuller pods.
    Shedding,
    /// They come back to where they were.
    Stuck,
}

/// What to do, and how it stands.
pub(super) struct Balance {
    pub(super) actions: Vec<Action>,
    pub(super) verdict: Verdict,
}

/// `watched`: for how long the fleet has yet to be watched first.
pub(super) fn decide(
    spec: &WseClusterSpec,
    fleet: &Fleet,
    observation: &Observation,
    watched: Duration,
    rounds: &mut Rounds,
    now: SystemTime,
) -> Balance {
    let nothing = |verdict| Balance {
        actions: Vec::new(),
        verdict,
    };
    let pods: Vec<&Pod> = observation.pods.iter().collect();
    let sessions: Option<Vec<u64>> = pods
        .iter()
        .map(|pod| {
            let load = pod.known().filter(|load| pod.serves() && !load.degraded);
            load.map(|load| load.sessions.into())
        })
        .collect();
    let Some(sessions) = sessions.filter(|_| fleet.progress == Progress::Stable) else {
        return nothing(Verdict::Later);
    };
    let names: Vec<String> = pods.iter().map(|pod| pod.name.clone()).collect();
    if rounds.pods != names {
        rounds.pods = names;
        rounds.restart();
    }
    let count = (sessions.len() as u64).max(1);
    let mean = sessions.iter().sum::<u64>() / count;
    let most = sessions.iter().max().copied().unwrap_or_default();
    if most <= mean + tolerance(mean) {
        rounds.restart();
        return nothing(Verdict::Even);
    }
    if spec.drain.rebalance == Rebalance::Never {
        return nothing(Verdict::Off);
    }
    if !watched.is_zero() {
        return nothing(Verdict::Later);
    }
    if !rounds.busy(now).is_zero() {
        return nothing(Verdict::Shedding);
    }
    let above = sessions.iter().map(|it| it.saturating_sub(mean)).sum();
    if rounds.count >= MOST_ROUNDS {
        let fewer = rounds.above.saturating_sub(above);
        if fewer * 100 < rounds.hoped * HELPS_PERCENT {
            return nothing(Verdict::Stuck);
        }
        rounds.restart();
    }
    if rounds.count == 0 {
        rounds.above = above;
    }
    rounds.count += 1;
    rounds.last = Some(now);
    let actions = shed(spec, &pods, &sessions, mean);
    let asked = actions.iter().map(|action| match action {
        Action::Shed { sessions, .. } => u64::from(*sessions),
        _ => 0,
    });
    let emptier = sessions.iter().filter(|it| **it <= mean).count() as u64;
    rounds.hoped += asked.sum::<u64>() * emptier / count;
    Balance {
        actions,
        verdict: Verdict::Shedding,
    }
}

/// How far above the mean chance alone brings a pod: four standard deviations of clients that choose
/// pods at random, and at least the band.
fn tolerance(mean: u64) -> u64 {
    (mean * BAND_PERCENT / 100).max(4 * mean.isqrt()).max(10)
}

/// What each pod has above the mean; of that, half of what may leave at once.
fn shed(spec: &WseClusterSpec, pods: &[&Pod], sessions: &[u64], mean: u64) -> Vec<Action> {
    let room = u64::from(spec.drain.reconnects_per_second) * u64::from(SHED_WINDOW_SECONDS) / 2;
    let above: Vec<u64> = sessions.iter().map(|it| it.saturating_sub(mean)).collect();
    let all = above.iter().sum::<u64>().max(1);
    let shares = pods.iter().zip(above);
    let actions = shares.filter_map(|(pod, above)| {
        let share = if all > room {
            above * room / all
        } else {
            above
        };
        let sessions = u32::try_from(share).ok().filter(|share| *share > 0)?;
        Some(Action::Shed {
            pod: pod.name.clone(),
            sessions,
        })
    });
    actions.collect()
}
