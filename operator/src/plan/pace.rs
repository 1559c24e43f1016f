//! How many clients may be asked to leave at once.

use wse_sidecar::config::Config;

use super::Pod;

/// Clients that pods which drain together may have: within their window so many leave each second that
/// the bound is kept.
pub(super) fn room(config: &Config, reconnects_per_second: u32) -> u64 {
    u64::from(reconnects_per_second) * u64::from(config.drain.window_seconds.max(1))
}

/// Of the pods that may be asked to leave, those that are asked now, in the order given. None while
/// clients still leave others, and then as many as have room; at least one. Those that have no
/// clients are always among them.
pub(super) fn admit<'a>(leaving: Vec<&'a Pod>, all: &[&Pod], room: u64) -> Vec<&'a Pod> {
    let has_clients = |pod: &Pod| pod.sessions() != Some(0);
    let busy = all.iter().any(|pod| pod.asked_to_drain && has_clients(pod));
    let mut left = if busy { 0 } else { room };
    let mut first = !busy;
    let admitted = leaving.into_iter().filter(|pod| {
        if !has_clients(pod) {
            return true;
        }
        // What is not known may be anything.
        let sessions = pod.sessions().map_or(room, u64::from);
        let fits = first || sessions <= left;
        first = false;
        left = if fits {
            left.saturating_sub(sessions)
        } else {
            0
        };
        fits
    });
    admitted.collect()
}
