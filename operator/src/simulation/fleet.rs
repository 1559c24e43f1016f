//! The fleets that days are simulated for, as a person would write them down.

use serde_json::json;

use crate::api::WseClusterSpec;
use crate::tier::Tier;

/// A fleet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fleet {
    /// Clients at the busiest moment of the day.
    pub connections: u32,
}

impl Fleet {
    /// The sizes that the documentation shows.
    pub const ALL: [Self; 4] = [
        Self { connections: 1_000 },
        Self {
            connections: 100_000,
        },
        Self {
            connections: 1_000_000,
        },
        Self {
            connections: 10_000_000,
        },
    ];

    /// Pods that the busiest moment needs.
    pub fn pods(self) -> u32 {
        self.tier().figures().replica_floor.max(
            self.connections
                .div_ceil(self.tier().figures().target_per_pod()),
        )
    }

    /// The tier of the busiest moment.
    pub fn tier(self) -> Tier {
        let load = crate::tier::Load {
            connections: self.connections.into(),
            largest_topic: 0,
        };
        Tier::classify(load, None)
    }

    /// Clients that may be asked to leave each second. A hundred for each pod, which is a fraction of
    /// what one takes in, and at least the default.
    pub fn reconnects_per_second(self) -> u32 {
        (100 * self.pods()).max(1_000)
    }

    /// What a person who does not know the peak writes: a fifth of it is expected, and half as many
    /// pods again as it needs are allowed.
    pub fn spec(self) -> WseClusterSpec {
        let most = (self.pods() * 3 / 2 + 4).min(1_000);
        let spec = json!({
            "image": "gateway:1",
            "capacity": {"tier": "Auto", "expectedConnections": (self.connections / 5).max(1)},
            "scaling": {"mode": "Autoscale", "minReplicas": self.least(), "maxReplicas": most},
            "drain": {"reconnectsPerSecond": self.reconnects_per_second()},
            "auth": {"keys": [{"algorithm": "HS256", "secretKeyRef": {"name": "jwt", "key": "secret"}}]},
            "backplane": {"type": "Redis", "redis": {"url": "redis://redis:6379"}},
            "api": {"keys": [{"secretKeyRef": {"name": "api", "key": "key"}}]},
        });
        serde_json::from_value(spec).expect("the fields are those of the type")
    }

    /// The least number of pods.
    pub(super) fn least(self) -> u32 {
        if self.connections < 1_000 { 1 } else { 2 }
    }
}
