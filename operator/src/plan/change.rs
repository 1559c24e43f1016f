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

/// What may surprise a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// One word for machines.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// How long a cluster autoscaler waits for a pod that it evicts, by default
/// (`max-graceful-termination-sec`).
const PATIENCE_SECONDS: u32 = 600;

/// Of a configuration.
pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let drain = &config.drain;
    let seconds = drain.wait_seconds + drain.deadline_seconds;
    let long = (seconds > PATIENCE_SECONDS).then(|| Warning {
        reason: "LongDrain",
        message: format!(
            "a pod may take {seconds} s to drain: cluster autoscalers wait {PATIENCE_SECONDS} s by default before they cut it off; shorten `drain.deadlineSeconds`, or raise `drain.reconnectsPerSecond`"
        ),
    });
    long.into_iter().collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_that_outlasts_a_cluster_autoscaler_is_warned_of() {
        let mut config = Config::default();
        (config.drain.wait_seconds, config.drain.deadline_seconds) = (7, 593);
        assert_eq!(warnings(&config), []);
        config.drain.deadline_seconds = 594;
        let [warning] = warnings(&config).try_into().unwrap();
        assert!(
            warning.message.starts_with("a pod may take 601 s"),
            "{warning:?}"
        );
    }
}
