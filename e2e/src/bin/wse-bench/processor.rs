//! What the generator itself takes of a processor: when that is all of it, a figure is its own and not
//! the server's.

use std::fs;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A worker that computes for more of the time than this is the limit.
const FULL: f64 = 0.9;
/// One that waits longer for a processor makes latencies longer than they are.
const WAITED: f64 = 0.2;

/// Parts of the time that one worker, which has one thread, had a processor or waited for one.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Share {
    /// It ran.
    pub(crate) busy: f64,
    /// It could have run, and another did (the second field of a thread's `schedstat` in proc(5)).
    pub(crate) waited: f64,
}

impl Share {
    pub(crate) fn is_full(self) -> bool {
        self.busy > FULL
    }
}

/// Measures its own thread, which is the one that does a worker's work, from its start on.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    since: Instant,
    busy: f64,
    waited: f64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            since: Instant::now(),
            busy: busy_seconds(),
            waited: waited_seconds(),
        }
    }

    /// Leaves out what is measured by another one, which was started later.
    pub(crate) fn leave_out(&mut self, other: &Self) {
        self.since += other.since.elapsed();
        self.busy += busy_seconds() - other.busy;
        self.waited += waited_seconds() - other.waited;
    }

    pub(crate) fn share(&self) -> Share {
        let elapsed = self.since.elapsed().as_secs_f64().max(1e-6);
        Share {
            busy: (busy_seconds() - self.busy) / elapsed,
            waited: (waited_seconds() - self.waited) / elapsed,
        }
    }
}

/// What is to be said of a crew that had these.
pub(crate) fn remarks(shares: &[Share]) -> Vec<String> {
    let waited = waited(shares).map(|part| {
        let percent = part * 100.0;
        format!(
            "the generator waited for a processor for {percent:.0} % of the time, which is in the figures"
        )
    });
    limited(shares).into_iter().chain(waited).collect()
}

/// Of one that was the limit.
pub(crate) fn limited(shares: &[Share]) -> Option<String> {
    let busy = shares.iter().map(|it| it.busy).fold(0.0, f64::max);
    (busy > FULL).then(|| {
        let percent = busy * 100.0;
        format!(
            "the generator was the limit: its busiest worker computed for {percent:.0} % of the time, so \
             neither rate nor latency is told; --workers gives it more"
        )
    })
}

/// The part of the time that one waited for a processor, if that is much.
pub(crate) fn waited(shares: &[Share]) -> Option<f64> {
    let waited = shares.iter().map(|it| it.waited).fold(0.0, f64::max);
    (waited > WAITED).then_some(waited)
}

fn busy_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// 0 where the kernel does not say.
fn waited_seconds() -> f64 {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedstat.split_whitespace().nth(1);
    let nanos = nanos.and_then(|it| it.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_computes_has_a_larger_share_than_one_that_sleeps() {
        let idle = Stopwatch::start();
        sleep(Duration::from_millis(100));
        let idle = idle.share();
        let busy = Stopwatch::start();
        while busy_seconds() - busy.busy < 0.1 {
            std::hint::spin_loop();
        }
        assert!(busy.share().busy > idle.busy);
        assert!(!idle.is_full() || busy.share().is_full());
    }
}
