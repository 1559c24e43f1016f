//! What the generator itself takes of a processor: when that is all of it, a figure is its own and not
//! the server's.

use std::fs;
use std::time::{Duration, Instant};

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
    /// Without work.
    rested: Duration,
    busy: f64,
    waited: f64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            since: Instant::now(),
            rested: Duration::ZERO,
            busy: busy_seconds(),
            waited: waited_seconds(),
        }
    }

    /// There was no work for so long.
    pub(crate) fn rest(&mut self, time: Duration) {
        self.rested += time;
    }

    pub(crate) fn share(&self) -> Share {
        let worked = self.since.elapsed().saturating_sub(self.rested);
        let elapsed = worked.as_secs_f64().max(1e-6);
        Share {
            busy: (busy_seconds() - self.busy) / elapsed,
            waited: (waited_seconds() - self.waited) / elapsed,
        }
    }
}

/// What is to be said of a crew that had these.
pub(crate) fn remarks(shares: &[Share]) -> Vec<String> {
    let most = |part: fn(&Share) -> f64| shares.iter().map(part).fold(0.0, f64::max);
    let (busy, waited) = (most(|it| it.busy), most(|it| it.waited));
    let limited = (busy > FULL).then(|| {
        let busy = busy * 100.0;
        format!(
            "the generator was the limit: its busiest worker computed for {busy:.0} % of the time, so \
             neither rate nor latency is told; --workers gives it more"
        )
    });
    let delayed = (waited > WAITED).then(|| {
        let waited = waited * 100.0;
        format!(
            "the generator waited for a processor for {waited:.0} % of the time, which is in the figures"
        )
    });
    limited.into_iter().chain(delayed).collect()
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
    use super::*;

    #[test]
    fn a_thread_that_computes_has_a_larger_share_than_one_that_sleeps() {
        let idle = Stopwatch::start();
        std::thread::sleep(Duration::from_millis(100));
        let idle = idle.share();
        let busy = Stopwatch::start();
        while busy_seconds() - busy.busy < 0.1 {
            std::hint::spin_loop();
        }
        assert!(busy.share().busy > idle.busy);
        assert!(!idle.is_full() || busy.share().is_full());
    }
}
