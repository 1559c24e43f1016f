//! Gateways as processes: their configuration files and keys, their start, their end. In come
//! changes to a [`Config`]; out go URLs, and what the admin port says. [`Up`] is a whole fleet, run by
//! `wse-operator`, and [`Page`] what that shows of it. It finds the programs beside the running executable and knows nothing of them but
//! their command lines.

mod gateway;
mod page;
mod scratch;
mod setup;
mod up;

use std::process::Child;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;
pub use wse_sidecar::config::{self, Config};

pub use self::gateway::{Answer, Gateway};
pub use self::page::{Page, Shown, ShownCondition, ShownPod};
pub use self::scratch::Scratch;
pub use self::setup::Setup;
pub use self::up::Up;

/// Sends a signal to a child that has not been waited for.
pub fn signal(child: &Child, what: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // A child that has just ended needs no signal.
        let _ = kill_process(pid, what);
    }
}
