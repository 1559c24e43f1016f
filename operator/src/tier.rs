//! The eight load tiers: how large a fleet is, in steps that do not flap. In come connections and the
//! largest topic, out comes a tier and what it gives to a fleet. Pure, a table and its
//! classification; the figures' reasons are beside them.

use std::fmt;

use wse_sidecar::config::Limits;

/// A load tier, the smallest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tier {
    /// A person trying it out.
    Minimal,
    /// One team.
    Light,
    /// A small product.
    Low,
    /// Where one pod is no longer enough to survive the loss of one.
    Medium,
    /// A product.
    High,
    /// About what one process may hold open.
    VeryHigh,
    /// Several full pods.
    Extreme,
    /// The largest; above it only pods are added.
    Maximum,
}

impl Tier {
    /// All of them, the smallest first.
    pub const ALL: [Self; 8] = [
        Self::Minimal,
        Self::Light,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::VeryHigh,
        Self::Extreme,
        Self::Maximum,
    ];

    /// The lowest tier that covers the load; `Maximum` above all. `previous` is left upwards only by
    /// [`BAND_PERCENT`] more than it covers, and downwards only when the lower tier has that much to
    /// spare, so a load that wanders about a bound changes nothing.
    pub fn classify(load: Load, previous: Option<Self>) -> Self {
        let exact = Self::lowest(load, 100);
        let Some(previous) = previous else {
            return exact;
        };
        if Self::lowest(load, 100 + BAND_PERCENT) > previous {
            return exact;
        }
        Self::lowest(load, 100 - BAND_PERCENT).min(previous)
    }

    /// What the tier covers and gives.
    pub fn figures(self) -> &'static Figures {
        &FIGURES[self as usize]
    }

    /// Its name, as in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extreme => "Extreme",
            Self::High => "High",
            Self::Light => "Light",
            Self::Low => "Low",
            Self::Maximum => "Maximum",
            Self::Medium => "Medium",
            Self::Minimal => "Minimal",
            Self::VeryHigh => "VeryHigh",
        }
    }

    /// The lowest tier whose bounds, taken at `percent`, cover the load.
    fn lowest(load: Load, percent: u64) -> Self {
        let covers = |tier: &Self| {
            let figures = tier.figures();
            let fits = |load: u64, bound: u32| load * 100 <= u64::from(bound) * percent;
            fits(load.connections, figures.connections)
                && fits(load.largest_topic, figures.subscribers)
        };
        Self::ALL.into_iter().find(covers).unwrap_or(Self::Maximum)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How far beyond a bound the load must be before the tier changes, in percent of the bound.
pub const BAND_PERCENT: u64 = 10;

/// What a fleet carries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Load {
    /// Connections of the whole fleet.
    pub connections: u64,
    /// Subscribers of the topic that has most of them.
    pub largest_topic: u64,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Connections of the whole fleet that the tier covers.
    pub connections: u32,
    /// Subscribers of one topic that it covers.
    pub subscribers: u32,
    /// Pods below which the tier's load, or the loss of one pod, is not carried.
    pub replica_floor: u32,
    /// Connections that one pod can carry, where its limit of open files allows as many. A fleet is
    /// sized for pods that are [`TARGET_PERCENT`] full.
    pub connections_per_pod: u32,
    /// Thousandths of a processor that a pod asks of its node.
    pub cpu_millicores: u32,
    /// Memory that a pod asks of its node, and may use.
    pub memory_mebibytes: u32,
    /// Length of the accept queue; the kernel clamps it to `net.core.somaxconn`, 4,096 by default.
    pub backlog: u32,
    /// Handshakes being worked on at once in one pod.
    pub pending_handshakes: u32,
    /// Deliveries waiting for one event loop.
    pub inbox_mebibytes: u32,
    /// Unfinished messages that one event loop holds for all its clients.
    pub partial_mebibytes: u32,
}

impl Figures {
    /// The gateway's limits where the spec says nothing.
    pub fn limits(&self) -> Limits {
        Limits {
            pending_handshakes: self.pending_handshakes,
            inbox_bytes: u64::from(self.inbox_mebibytes) << 20,
            partial_bytes: u64::from(self.partial_mebibytes) << 20,
            ..Limits::default()
        }
    }

    /// What a pod asks of its node.
    pub fn resources(&self) -> Resources {
        Resources {
            cpu_millicores: self.cpu_millicores,
            memory_bytes: u64::from(self.memory_mebibytes) << 20,
        }
    }

    /// Connections that one pod is meant for when the fleet is as full as it should be.
    pub fn target_per_pod(&self) -> u32 {
        self.connections_per_pod * TARGET_PERCENT / 100
    }
}

/// What a pod asks of its node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resources {
    /// Thousandths of a processor. It may use more where there is more.
    pub cpu_millicores: u32,
    /// Memory, which is also what it may use at most.
    pub memory_bytes: u64,
}

/// How full pods should be where a spec says nothing, in percent of what they can carry.
pub const TARGET_PERCENT: u32 = 70;

/// Connections and subscribers are the load levels of the stress guide. A pod carries at most 20,000
/// connections, the open files that container runtimes commonly allow; it is meant for 70 % of them.
/// From Medium on there are two pods at least, so that losing one leaves one. The queues grow with the
/// herd that comes back when a pod is lost: a pod's clients spread over the others. A pod's memory is
/// 32 KiB for each connection that it can carry, which leaves room for what waits for it beside the
/// [`CONNECTION_BYTES`](crate::capacity::CONNECTION_BYTES) of an idle one, 64 MiB for itself, and what its
/// queues may hold.
const FIGURES: [Figures; 8] = [
    row([10, 5], [1, 1_000], [50, 128], [128, 128], [16, 32]),
    row([100, 20], [1, 1_000], [100, 160], [256, 256], [16, 32]),
    row([500, 50], [1, 2_000], [250, 256], [1_024, 512], [32, 64]),
    row(
        [1_000, 100],
        [2, 3_000],
        [500, 320],
        [1_024, 1_024],
        [32, 64],
    ),
    row(
        [5_000, 200],
        [2, 7_500],
        [1_000, 512],
        [4_096, 1_024],
        [64, 128],
    ),
    row(
        [10_000, 500],
        [2, 15_000],
        [2_000, 896],
        [4_096, 2_048],
        [64, 256],
    ),
    row(
        [50_000, 1_000],
        [4, 20_000],
        [2_000, 1_280],
        [4_096, 4_096],
        [128, 256],
    ),
    row(
        [99_000, 5_000],
        [8, 20_000],
        [2_000, 1_536],
        [16_384, 4_096],
        [256, 256],
    ),
];

const fn row(
    load: [u32; 2],
    pods: [u32; 2],
    asks: [u32; 2],
    queues: [u32; 2],
    mebibytes: [u32; 2],
) -> Figures {
    Figures {
        connections: load[0],
        subscribers: load[1],
        replica_floor: pods[0],
        connections_per_pod: pods[1],
        cpu_millicores: asks[0],
        memory_mebibytes: asks[1],
        backlog: queues[0],
        pending_handshakes: queues[1],
        inbox_mebibytes: mebibytes[0],
        partial_mebibytes: mebibytes[1],
    }
}

/// The table, for people.
pub fn table() -> String {
    let head = [
        "connections",
        "subscribers",
        "min pods",
        "a pod carries",
        "millicores",
        "memory MiB",
        "backlog",
        "handshakes",
        "inbox MiB",
        "partial MiB",
    ];
    let mut text = format!("{:<9}", "tier");
    text.extend(head.map(|name| format!("{name:>width$}", width = name.len() + 2)));
    for tier in Tier::ALL {
        let it = tier.figures();
        let row = [
            it.connections,
            it.subscribers,
            it.replica_floor,
            it.connections_per_pod,
            it.cpu_millicores,
            it.memory_mebibytes,
            it.backlog,
            it.pending_handshakes,
            it.inbox_mebibytes,
            it.partial_mebibytes,
        ];
        text += &format!("\n{tier:<9}");
        let cells = head.iter().zip(row);
        text.extend(cells.map(|(name, cell)| format!("{cell:>width$}", width = name.len() + 2)));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(connections: u64, largest_topic: u64) -> Load {
        Load {
            connections,
            largest_topic,
        }
    }

    #[test]
    fn the_lowest_tier_that_covers_both() {
        for (connections, largest_topic, expected) in [
            (0, 0, Tier::Minimal),
            (10, 5, Tier::Minimal),
            (11, 5, Tier::Light),
            (10, 6, Tier::Light),
            (500, 50, Tier::Low),
            (1_000, 100, Tier::Medium),
            (5_000, 100, Tier::High),
            (10_000, 500, Tier::VeryHigh),
            (50_000, 1, Tier::Extreme),
            (50_001, 1, Tier::Maximum),
            (1, 5_000, Tier::Maximum),
            (99_000, 5_000, Tier::Maximum),
            (10_000_000, 1, Tier::Maximum),
        ] {
            let found = Tier::classify(load(connections, largest_topic), None);
            assert_eq!(found, expected, "{connections} {largest_topic}");
        }
    }

    #[test]
    fn a_tier_is_left_only_outside_the_band() {
        for (connections, previous, expected) in [
            (1_000, Tier::Medium, Tier::Medium),
            (1_100, Tier::Medium, Tier::Medium),
            (1_101, Tier::Medium, Tier::High),
            (901, Tier::High, Tier::High),
            (900, Tier::High, Tier::Medium),
            (5, Tier::Maximum, Tier::Minimal),
            (99_001, Tier::Maximum, Tier::Maximum),
        ] {
            let found = Tier::classify(load(connections, 1), Some(previous));
            assert_eq!(found, expected, "{connections} from {previous}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_carries_its_own_load() {
        for pair in Tier::ALL.windows(2) {
            let (low, high) = (pair[0].figures(), pair[1].figures());
            assert!(pair[0] < pair[1] && low.connections < high.connections);
            assert!(low.subscribers < high.subscribers);
            assert!(low.replica_floor <= high.replica_floor && low.backlog <= high.backlog);
        }
        for tier in Tier::ALL {
            let it = tier.figures();
            assert!(
                it.replica_floor * it.target_per_pod() >= it.connections,
                "{tier}"
            );
            assert!(table().contains(tier.name()));
        }
    }

    fn any_tier() -> impl Strategy<Value = Tier> {
        (0..Tier::ALL.len()).prop_map(|index| Tier::ALL[index])
    }

    fn any_load() -> impl Strategy<Value = Load> {
        (0..200_000u64, 0..10_000u64).prop_map(|(connections, topic)| load(connections, topic))
    }

    proptest! {
        #[test]
        fn more_load_is_never_a_lower_tier(a in any_load(), b in any_load(), previous in proptest::option::of(any_tier())) {
            let more = load(a.connections.max(b.connections), a.largest_topic.max(b.largest_topic));
            prop_assert!(Tier::classify(more, previous) >= Tier::classify(a, previous));
        }

        #[test]
        fn the_same_load_settles_at_once(it in any_load(), previous in any_tier()) {
            let settled = Tier::classify(it, Some(previous));
            prop_assert_eq!(Tier::classify(it, Some(settled)), settled);
        }

        #[test]
        fn a_load_wandering_inside_the_band_changes_the_tier_at_most_once(
            tier in 0..7usize, start in any_tier(), walk in proptest::collection::vec(91..=110u64, 1..50),
        ) {
            let bound = u64::from(Tier::ALL[tier].figures().connections);
            let mut changes = 0;
            let mut previous = Tier::classify(load(bound * walk[0] / 100, 0), Some(start));
            for percent in walk {
                // Rounded up, so that 91 % of 10 is inside the band.
                let next = Tier::classify(load((bound * percent).div_ceil(100).min(bound * 110 / 100), 0), Some(previous));
                changes += usize::from(next != previous);
                previous = next;
            }
            prop_assert!(changes <= 1, "{changes} changes about {bound}");
        }
    }
}
