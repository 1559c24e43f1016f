//! Pods: they start, fail, become ready, are drained as the gateway does it, and go.

use super::chance::Chance;
use crate::capacity::{CONNECTION_BYTES, MESSAGES_PER_MILLICORE};
use crate::plan::{Load, PodState};
use crate::tier::Resources;

/// A kubelet sees this late whether a pod is ready.
const PROBE_SECONDS: u64 = 2;
/// Endpoints and proxies follow this late.
const ENDPOINT_SECONDS: u64 = 2;
/// A node that does not answer: after so long its pods are not ready any more
/// (kube-controller-manager's `--node-monitor-grace-period`),
const NODE_GRACE_SECONDS: u64 = 40;
/// and after so much more they are evicted (the toleration that Kubernetes gives every pod).
const EVICTION_SECONDS: u64 = 300;
/// A container that failed is started again this late.
const BACKOFF_SECONDS: u64 = 10;
/// Starts that fail.
const FAILS: f64 = 0.02;

/// Memory of a gateway without clients; what `FIGURES` in [`crate::tier`] allows.
const BASE_BYTES: u64 = 64 << 20;
/// What waits for a client beside what its connection takes.
const WAITS_BYTES: u64 = 14 << 10;
/// Messages from and to a client in a hundred seconds, and their size.
const MESSAGES_IN_100_SECONDS: u64 = 50;
const MESSAGE_BYTES: u64 = 300;
/// Of its clients, so many share a pod's largest topic.
const TOPIC_SHARE: u32 = 50;

/// How far a pod is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// It waits for a node, its image or its next start.
    Down {
        until: u64,
    },
    /// Told to end.
    End {
        until: u64,
    },
    /// Its node is gone.
    Lost {
        since: u64,
    },
    /// Its process starts.
    Start {
        until: u64,
    },
    Up,
}

/// What the operator does not see of a pod.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) phase: Phase,
    pub(super) sessions: u32,
    pub(super) zone: u64,
    pub(super) resources: Resources,
    /// Since when it drains.
    pub(super) drains: Option<u64>,
    /// Clients that have yet to be asked to leave by a shed, and when it ends.
    pub(super) shed: (u32, u64),
    /// It does not answer until then,
    pub(super) silent: u64,
    /// or answers what cannot be.
    pub(super) nonsense: u64,
    /// Whether new clients are sent to it, and when that changes.
    routed: (bool, Option<u64>),
    /// Not before then, after a drain that was taken back.
    ready_from: u64,
}

/// How a drain goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    pub(super) wait_seconds: u64,
    pub(super) window_seconds: u64,
}

impl Inside {
    pub(super) fn new(now: u64, zone: u64, resources: Resources, chance: &mut Chance) -> Self {
        Self {
            phase: Phase::Down {
                until: now + chance.seconds(5..=20),
            },
            sessions: 0,
            zone,
            resources,
            drains: None,
            shed: (0, 0),
            silent: 0,
            nonsense: 0,
            routed: (false, None),
            ready_from: 0,
        }
    }

    /// Starts, or goes. Whether it is still there.
    pub(super) fn step(&mut self, now: u64, chance: &mut Chance) -> bool {
        match self.phase {
            Phase::Down { until } if now >= until => {
                let until = now + chance.seconds(5..=20);
                self.phase = Phase::Start { until };
            }
            Phase::Start { until } if now >= until => {
                self.phase = if chance.happens(FAILS) {
                    let until = now + BACKOFF_SECONDS;
                    Phase::Down { until }
                } else {
                    Phase::Up
                };
            }
            Phase::Lost { since } if now >= since + NODE_GRACE_SECONDS + EVICTION_SECONDS => {
                self.end(now);
            }
            Phase::End { until } => return now < until,
            _ => {}
        }
        true
    }

    pub(super) fn end(&mut self, now: u64) {
        self.phase = Phase::End { until: now + 3 };
    }

    pub(super) fn drain(&mut self, now: u64) {
        self.drains = Some(now);
    }

    pub(super) fn undrain(&mut self, now: u64) {
        self.drains = None;
        self.ready_from = now + PROBE_SECONDS;
    }

    /// Clients that are asked to leave within the next `seconds`, which are theirs no more.
    pub(super) fn asks(
        &mut self,
        now: u64,
        seconds: u64,
        drain: Drain,
        chance: &mut Chance,
    ) -> u32 {
        if self.phase != Phase::Up {
            return 0;
        }
        let leave = |count: u32, end: u64, chance: &mut Chance| match end.saturating_sub(now) {
            0 => count,
            left => chance.of(count, seconds as f64 / left as f64),
        };
        let asked = match self.drains {
            Some(since) if now >= since + drain.wait_seconds => {
                self.shed.0 = 0;
                let end = since + drain.wait_seconds + drain.window_seconds;
                leave(self.sessions, end, chance)
            }
            _ => {
                let shed = self.shed.0.min(self.sessions);
                let asked = leave(shed, self.shed.1, chance);
                self.shed.0 = shed - asked;
                asked
            }
        };
        self.sessions -= asked;
        asked
    }

    /// What its kubelet and its node's heartbeat say.
    pub(super) fn state(&self, now: u64) -> PodState {
        match self.phase {
            Phase::Down { .. } => PodState::Down,
            Phase::End { .. } => PodState::Leave,
            Phase::Lost { since } if now < since + NODE_GRACE_SECONDS => PodState::Ready,
            Phase::Lost { .. } | Phase::Start { .. } => PodState::Unready,
            Phase::Up if now < self.ready_from => PodState::Unready,
            Phase::Up => match self.drains {
                Some(since) if now >= since + PROBE_SECONDS => PodState::Unready,
                _ => PodState::Ready,
            },
        }
    }

    /// Follows the state with where clients are sent.
    pub(super) fn route(&mut self, now: u64, state: PodState) {
        let (routed, changes) = self.routed;
        let ready = state == PodState::Ready;
        if ready == routed {
            self.routed.1 = None;
            return;
        }
        let at = changes.unwrap_or(now + ENDPOINT_SECONDS);
        self.routed = if now >= at {
            (ready, None)
        } else {
            (routed, Some(at))
        };
    }

    /// Whether new clients are sent to it.
    pub(super) fn is_routed(&self) -> bool {
        self.routed.0
    }

    /// Whether it takes clients who come.
    pub(super) fn accepts(&self, now: u64, drain: Drain) -> bool {
        let refuses = self.refuses(now, drain);
        self.phase == Phase::Up && !refuses
    }

    /// Whether it is at rest: nothing changes by itself.
    pub(super) fn rests(&self, now: u64) -> bool {
        let settled = self.routed == (true, None) && now >= self.ready_from;
        self.phase == Phase::Up && self.drains.is_none() && self.shed.0 == 0 && settled
    }

    /// What it answers when it is asked.
    pub(super) fn load(&self, now: u64, drain: Drain) -> Option<Load> {
        let answers = matches!(self.phase, Phase::Start { .. } | Phase::Up) && now >= self.silent;
        if !answers {
            return None;
        }
        let messages = u64::from(self.sessions) * MESSAGES_IN_100_SECONDS / 100;
        let load = Load {
            sessions: self.sessions,
            messages_per_second: messages,
            bytes_per_second: messages * MESSAGE_BYTES,
            cpu_millicores: 5 + messages / MESSAGES_PER_MILLICORE,
            memory_bytes: Some(
                BASE_BYTES + u64::from(self.sessions) * (CONNECTION_BYTES + WAITS_BYTES),
            ),
            memory_limit_bytes: Some(self.resources.memory_bytes),
            largest_topic: self.sessions / TOPIC_SHARE,
            refuses: self.refuses(now, drain),
            ..Load::default()
        };
        if now < self.nonsense {
            return Some(Load {
                sessions: u32::MAX,
                cpu_millicores: u64::MAX,
                ..load
            });
        }
        Some(load)
    }

    fn refuses(&self, now: u64, drain: Drain) -> bool {
        self.drains
            .is_some_and(|since| now >= since + drain.wait_seconds)
    }
}
