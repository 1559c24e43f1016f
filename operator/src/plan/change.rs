//! What an edit of the spec does to clients, told before it is done.

use std::fmt;

use wse_sidecar::config::Config;

use super::fleet::{Fleet, Progress};
use super::{Observation, configuration};

/// What is done to clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Nothing: pods are not told anything, or there are none yet.
    Nothing,
    /// Pods take another configuration while they run; nobody moves.
    Reload,
    /// Other pods replace those that are there; clients move.
    Replace {
        /// How often, as expected.
        moves: u64,
        /// Whether each client moves only once.
        once: bool,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("changes nothing for clients"),
            Self::Reload => f.write_str("is taken up by the pods while they run; no client moves"),
            Self::Replace { moves, once: true } => {
                write!(f, "needs new pods; {moves} clients move, each once")
            }
            Self::Replace { moves, once: false } => {
                write!(
                    f,
                    "needs new pods; about {moves} moves of clients are expected, more than one for some"
                )
            }
        }
    }
}

pub(super) fn of(observation: &Observation, fleet: &Fleet, config: &Config) -> Change {
    let told = observation.config.as_ref();
    match fleet.progress {
        Progress::Roll { once, .. } => Change::Replace {
            moves: fleet.moves,
            once,
        },
        _ if told.is_some_and(|told| *told != configuration::digest(config)) => Change::Reload,
        _ => Change::Nothing,
    }
}
