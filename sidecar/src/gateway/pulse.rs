//! The gateway's account of itself, for the admin port.

use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::reactors::Sum;
use crate::admin::{Traffic, Vitals};
use crate::auth::Verifier;
use crate::backplane::{Backplane, State};
use crate::config::Config;
use crate::edge;
use crate::hub::Fleet;

pub(super) struct Pulse {
    pub(super) node: String,
    pub(super) reactors: usize,
    pub(super) fleet: Fleet,
    pub(super) backplane: Backplane,
    pub(super) counters: Sum,
    /// The configuration in force.
    pub(super) config: ArcSwap<Config>,
    /// Verifies the tokens of new clients.
    pub(super) verifier: ArcSwap<Verifier>,
    pub(super) listening: AtomicBool,
}

impl Vitals for Pulse {
    fn node(&self) -> &str {
        &self.node
    }

    fn reactors(&self) -> usize {
        self.reactors
    }

    fn listening(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    fn has_keys(&self) -> bool {
        self.verifier.load().is_ready()
    }

    fn degraded(&self) -> bool {
        self.backplane.state() == State::Degraded
    }

    fn sessions(&self) -> usize {
        self.fleet.sessions()
    }

    fn largest_topic(&self) -> usize {
        self.fleet.largest_topic()
    }

    fn outbound_queued_bytes(&self) -> u64 {
        (self.counters)().queued_bytes
    }

    fn capacity(&self) -> usize {
        edge::capacity(&self.config.load().limits)
    }

    fn connection_limit(&self) -> u32 {
        self.config.load().limits.connections
    }

    fn traffic(&self) -> Traffic {
        let counters = (self.counters)();
        Traffic {
            handshakes: counters.sessions_opened,
            messages_in: counters.messages_in,
            messages_out: counters.messages_out,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
        }
    }
}
