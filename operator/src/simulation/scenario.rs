//! What happens in a day: how many clients there are, and what goes wrong.

/// Seconds of a day.
pub const DAY: u64 = 86_400;

const HOUR: u64 = 3_600;
const MINUTE: u64 = 60;

/// A day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scenario {
    /// A quiet night, a busy afternoon.
    Daily,
    /// Three times 2.5 times as many for twenty minutes.
    Spike,
    /// Five times as many within a minute.
    FlashCrowd,
    /// Connections come and never leave.
    SlowLeak,
    /// All clients of a proxy, and later all clients, lose their connections at once.
    ReconnectStorm,
    /// A third of the pods is gone with its zone for an hour, at the busiest time.
    ZoneLoss,
    /// Another image at the busiest time.
    Rollout,
    /// Pods do not say what they carry, or what cannot be.
    MetricsMissing,
    /// The operator ends, and begins with an empty memory, twelve times.
    OperatorRestart,
}

/// Something that happens once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// So many of a hundred clients lose their connections.
    Disconnect { percent: u32 },
    /// The spec names another image.
    Image,
    /// Pods answer nothing for so long: one of them, or all.
    Silence { all: bool, seconds: u64 },
    /// Three pods answer what cannot be for so long.
    Nonsense { seconds: u64 },
    /// The nodes of one zone are gone.
    ZoneLost,
    /// They are back.
    ZoneBack,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Daily,
        Self::Spike,
        Self::FlashCrowd,
        Self::SlowLeak,
        Self::ReconnectStorm,
        Self::ZoneLoss,
        Self::Rollout,
        Self::MetricsMissing,
        Self::OperatorRestart,
    ];

    /// As a file is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::FlashCrowd => "flash-crowd",
            Self::MetricsMissing => "metrics-missing",
            Self::OperatorRestart => "operator-restart",
            Self::ReconnectStorm => "reconnect-storm",
            Self::Rollout => "rollout",
            Self::SlowLeak => "slow-leak",
            Self::Spike => "spike",
            Self::ZoneLoss => "zone-loss",
        }
    }

    /// What happens, in a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Self::Daily => "A quarter of the clients at night, all of them from 12:00 to 15:00.",
            Self::FlashCrowd => {
                "At 12:00 five times as many clients within a minute; they stay for an hour."
            }
            Self::MetricsMissing => {
                "The daily curve; one pod does not answer from 9:00 to 9:30, none from 10:30 to 11:00 and from \
                 17:30 to 18:00, and three answer what cannot be from 19:00 to 19:20."
            }
            Self::OperatorRestart => {
                "The daily curve; the operator ends at twelve random moments, and the next one begins 15 s later \
                 with an empty memory."
            }
            Self::ReconnectStorm => {
                "At 10:00 a third of the clients (all of one proxy) lose their connections at once, at 15:00 all do."
            }
            Self::Rollout => {
                "The daily curve; at 13:00 the spec names another image, with the default surge of 100 %."
            }
            Self::SlowLeak => {
                "From 1:00 to 22:00 connections come and never leave: five times as many in the end."
            }
            Self::Spike => {
                "At 9:00, 13:00 and 17:00 2.5 times as many clients within two minutes, for twenty minutes."
            }
            Self::ZoneLoss => {
                "The daily curve; at 13:00 the nodes of one of three zones are gone, at 14:00 they are back."
            }
        }
    }

    /// How often the load turns from growing to falling or back.
    pub fn turns(self) -> u32 {
        match self {
            Self::SlowLeak | Self::ReconnectStorm => 0,
            Self::Spike => 5,
            _ => 1,
        }
    }

    /// Whether connections end by themselves and others begin.
    pub(super) fn has_churn(self) -> bool {
        self != Self::SlowLeak
    }

    /// How many clients there are, as a share of the most.
    pub(super) fn share(self, second: u64) -> f64 {
        let points: &[(u64, f64)] = match self {
            Self::SlowLeak => &[(HOUR, 0.2), (22 * HOUR, 1.0)],
            Self::FlashCrowd => &[
                (12 * HOUR, 0.2),
                (12 * HOUR + MINUTE, 1.0),
                (13 * HOUR, 1.0),
                (14 * HOUR, 0.2),
            ],
            Self::ReconnectStorm => &[(0, 0.9)],
            Self::Spike => &[
                (9 * HOUR, 0.4),
                (9 * HOUR + 2 * MINUTE, 1.0),
                (9 * HOUR + 22 * MINUTE, 1.0),
                (9 * HOUR + 30 * MINUTE, 0.4),
                (13 * HOUR, 0.4),
                (13 * HOUR + 2 * MINUTE, 1.0),
                (13 * HOUR + 22 * MINUTE, 1.0),
                (13 * HOUR + 30 * MINUTE, 0.4),
                (17 * HOUR, 0.4),
                (17 * HOUR + 2 * MINUTE, 1.0),
                (17 * HOUR + 22 * MINUTE, 1.0),
                (17 * HOUR + 30 * MINUTE, 0.4),
            ],
            _ => &[
                (6 * HOUR, 0.25),
                (12 * HOUR, 1.0),
                (15 * HOUR, 1.0),
                (20 * HOUR, 0.25),
            ],
        };
        let after = points.iter().position(|(at, _)| *at > second);
        match after {
            Some(0) => points[0].1,
            None => points[points.len() - 1].1,
            Some(next) => {
                let ((from, low), (to, high)) = (points[next - 1], points[next]);
                low + (high - low) * (second - from) as f64 / (to - from) as f64
            }
        }
    }

    /// What happens, and when, in order.
    pub(super) fn events(self) -> &'static [(u64, Event)] {
        match self {
            Self::MetricsMissing => &[
                (
                    9 * HOUR,
                    Event::Silence {
                        all: false,
                        seconds: 30 * MINUTE,
                    },
                ),
                (
                    10 * HOUR + 30 * MINUTE,
                    Event::Silence {
                        all: true,
                        seconds: 30 * MINUTE,
                    },
                ),
                (
                    17 * HOUR + 30 * MINUTE,
                    Event::Silence {
                        all: true,
                        seconds: 30 * MINUTE,
                    },
                ),
                (
                    19 * HOUR,
                    Event::Nonsense {
                        seconds: 20 * MINUTE,
                    },
                ),
            ],
            Self::ReconnectStorm => &[
                (10 * HOUR, Event::Disconnect { percent: 33 }),
                (15 * HOUR, Event::Disconnect { percent: 100 }),
            ],
            Self::Rollout => &[(13 * HOUR, Event::Image)],
            Self::ZoneLoss => &[(13 * HOUR, Event::ZoneLost), (14 * HOUR, Event::ZoneBack)],
            _ => &[],
        }
    }

    /// How often the operator ends.
    pub(super) fn restarts(self) -> usize {
        match self {
            Self::OperatorRestart => 12,
            _ => 0,
        }
    }
}
