//! How this pod empties itself, whole or in part (DESIGN 3.6). In come wishes: the operator's
//! `POST /drain`, `DELETE /drain` and `POST /shed`, and the system's SIGTERM; out go actions on
//! [`Doors`], the phase for readiness, and the word to exit. `machine` decides and takes time as an
//! argument; `driver` carries out. It knows neither sessions nor HTTP.
//!
//! One path: *announced* (not ready, still accepting, until endpoints have followed), *leaving* (no new
//! clients, each session leaves inside the window, the rest at the deadline), *empty*. A shed is no part of
//! it: some sessions leave while the pod serves on, and a drain that begins calls it off.

mod driver;
mod machine;
mod metrics;

use std::time::Duration;

pub use self::driver::{Controls, Doors, Driver, Exiting, NotShed};
pub use self::machine::Phase;
pub use self::metrics::Metrics;

/// How long each step takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Schedule {
    /// From not ready to refusing.
    pub wait: Duration,
    /// From refusing until the last session was asked to leave.
    pub window: Duration,
    /// From refusing until no session is left. At least the window.
    pub deadline: Duration,
}

impl From<&crate::config::Drain> for Schedule {
    fn from(config: &crate::config::Drain) -> Self {
        let seconds = |n: u32| Duration::from_secs(n.into());
        Self {
            wait: seconds(config.wait_seconds),
            window: seconds(config.window_seconds.min(config.deadline_seconds)),
            deadline: seconds(config.deadline_seconds),
        }
    }
}
