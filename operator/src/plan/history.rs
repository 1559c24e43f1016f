//! What was recommended lately, and how many pods were added: the memory of autoscaling.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// Recommendations and growth of the recent past.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct History {
    /// The highest recommendations, each later one lower than those before it.
    highest: VecDeque<(SystemTime, u32)>,
    /// The lowest, each later one higher.
    lowest: VecDeque<(SystemTime, u32)>,
    /// When pods were added, and how many.
    growth: VecDeque<(SystemTime, u32)>,
}

impl History {
    /// Takes a recommendation down, and gives the lowest of the last `up` and the highest of the last
    /// `down`.
    pub(super) fn note(
        &mut self,
        now: SystemTime,
        replicas: u32,
        up: Duration,
        down: Duration,
    ) -> (u32, u32) {
        if up.is_zero() {
            self.lowest.clear();
        }
        push(&mut self.lowest, now, replicas, |old, new| old >= new);
        push(&mut self.highest, now, replicas, |old, new| old <= new);
        forget(&mut self.lowest, now, up);
        forget(&mut self.highest, now, down);
        let first = |window: &VecDeque<_>| window.front().map_or(replicas, |(_, value)| *value);
        (first(&self.lowest), first(&self.highest))
    }

    /// Takes down how many pods there are, where nothing was taken down yet: a load that has just been
    /// seen for the first time has not lasted.
    pub(super) fn begin(&mut self, now: SystemTime, replicas: u32) {
        if self.lowest.is_empty() {
            self.lowest.push_back((now, replicas));
        }
    }

    /// How many pods were added within the last `period`.
    pub(super) fn grown(&mut self, now: SystemTime, period: Duration) -> u32 {
        forget(&mut self.growth, now, period);
        self.growth.iter().map(|(_, pods)| pods).sum()
    }

    /// Takes down that pods were added.
    pub(super) fn grow(&mut self, now: SystemTime, pods: u32) {
        self.growth.push_back((now, pods));
    }
}

/// Values that a newer one outdoes can never be the extreme again.
fn push(
    window: &mut VecDeque<(SystemTime, u32)>,
    now: SystemTime,
    value: u32,
    outdone: fn(&u32, &u32) -> bool,
) {
    while window.back().is_some_and(|(_, old)| outdone(old, &value)) {
        window.pop_back();
    }
    window.push_back((now, value));
}

/// What is older than the period. What comes from the future, after a clock was set back, stays.
fn forget(window: &mut VecDeque<(SystemTime, u32)>, now: SystemTime, period: Duration) {
    let is_old = |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age > period);
    while window.front().is_some_and(|(at, _)| is_old(at)) {
        window.pop_front();
    }
}
