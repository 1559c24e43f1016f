//! Everybody comes in at once, and again: the work of connecting alone, until there was enough of it.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::plan::{Plan, Until};
use super::{lose, open};
use crate::connection::Crowd;
use crate::processor::Stopwatch;

/// See [`pause`]: so long, and for each of them.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_EACH: Duration = Duration::from_micros(100);

/// The first storm is over already.
pub(super) async fn run(plan: &Plan, crowd: &Rc<Crowd>, until: &Until, watch: &mut Stopwatch) {
    let begin = Instant::now();
    note(plan, crowd);
    let mut took = crowd.seen.borrow().deeds.latency.max();
    loop {
        let done = crowd.seen.borrow().deeds.done;
        if until.is_over(took, done, plan.connections as u64) {
            return;
        }
        let without_work = Stopwatch::start();
        lose(crowd);
        crowd.gone.set(crowd.gone.get() + plan.connections);
        sleep(pause(plan.connections)).await;
        watch.leave_out(&without_work);
        open(plan, crowd).await;
        note(plan, crowd);
        took = begin.elapsed();
    }
}

/// For a server to take note of so many that have gone.
pub(crate) fn pause(connections: usize) -> Duration {
    PAUSE + PAUSE_EACH * u32::try_from(connections).unwrap_or(u32::MAX)
}

/// Adds a storm to those before it.
fn note(plan: &Plan, crowd: &Crowd) {
    let mut seen = crowd.seen.borrow_mut();
    let (opened, handshake) = (seen.opened, seen.handshake.clone());
    seen.deeds.due += plan.connections as u64;
    seen.deeds.done += opened;
    seen.deeds.seconds += handshake.max().as_secs_f64();
    seen.deeds.latency.merge(&handshake);
}
