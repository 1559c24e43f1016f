//! How many: sessions, and handshakes a second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::config::Limits;

/// Open files kept for what is no session: the three ports, two for each reactor, the runtime's, those to
/// Redis, and the connections of the API and admin ports. Handshakes come on top, and what they do not
/// need is there for backends that hold more connections than this.
const OTHER_FILES: usize = 256;

/// Sessions that one process takes: what is configured, and not more than its open-file limit leaves
/// beside pending handshakes and everything else. At least half of the open files are for sessions.
pub fn capacity(limits: &Limits) -> usize {
    let open_files = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |files| {
            usize::try_from(files).unwrap_or(usize::MAX)
        });
    within(open_files, limits)
}

fn within(open_files: usize, limits: &Limits) -> usize {
    let reserved = OTHER_FILES + limits.pending_handshakes as usize;
    let possible = open_files - reserved.min(open_files / 2);
    match limits.connections {
        0 => possible,
        configured => possible.min(configured as usize),
    }
}

/// Counts the clients that were let in and have not yet been handed over, so that many at once cannot
/// pass a bound that each of them alone would meet.
#[derive(Debug, Default)]
pub(super) struct Arriving(AtomicUsize);

/// One client on its way.
#[derive(Debug)]
pub(super) struct Permit<'a>(&'a Arriving);

impl Arriving {
    /// Lets one in, unless `sessions` and those on their way are `capacity` already.
    pub(super) fn admit(&self, sessions: usize, capacity: usize) -> Option<Permit<'_>> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(self);
        (sessions + before < capacity).then_some(permit)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A token bucket for handshakes: so many a second, and as many at once.
#[derive(Debug)]
pub(super) struct Bucket(Mutex<Level>);

#[derive(Debug)]
struct Level {
    /// What has been taken and not yet come back, as time.
    debt: Duration,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Level {
            debt: Duration::ZERO,
            at: now,
        }))
    }

    /// Takes one of `per_second`; 0 is any number. The rate may be another at every call.
    pub(super) fn take(&self, per_second: u32, now: Instant) -> bool {
        if per_second == 0 {
            return true;
        }
        // Nothing in here can panic while it is locked.
        let mut level = self.0.lock().expect("no holder panics");
        let debt = level
            .debt
            .saturating_sub(now.saturating_duration_since(level.at));
        let with_this = debt + Duration::from_secs(1) / per_second;
        let enough = with_this <= Duration::from_secs(1);
        level.debt = if enough { with_this } else { debt };
        level.at = level.at.max(now);
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn capacity_is_bounded_by_open_files() {
        for (open_files, connections, pending, expected) in [
            (20_000, 0, 1_024, 18_720),
            (20_000, 5_000, 1_024, 5_000),
            (20_000, 99_000, 1_024, 18_720),
            (1_024, 0, 1_024, 512),
            (usize::MAX, 99_000, 1_024, 99_000),
            (0, 10, 1_024, 0),
        ] {
            let limits = Limits {
                connections,
                pending_handshakes: pending,
                ..Limits::default()
            };
            assert_eq!(
                within(open_files, &limits),
                expected,
                "{open_files} {connections}"
            );
        }
    }

    #[test]
    fn those_on_their_way_count() {
        let arriving = Arriving::default();
        let first = arriving.admit(8, 10).unwrap();
        let _second = arriving.admit(8, 10).unwrap();
        assert!(arriving.admit(8, 10).is_none());
        drop(first);
        assert!(arriving.admit(9, 10).is_none());
        assert!(arriving.admit(8, 10).is_some());
    }

    #[test]
    fn a_bucket_is_full_at_first_and_refills() {
        let start = Instant::now();
        let bucket = Bucket::new(start);
        let taken = |at: Duration| (0..100).filter(|_| bucket.take(10, start + at)).count();
        assert_eq!(taken(Duration::ZERO), 10);
        assert_eq!(taken(Duration::from_millis(99)), 0);
        assert_eq!(taken(Duration::from_millis(100)), 1);
        assert_eq!(taken(Duration::from_secs(60)), 10);
        assert!((0..1_000).all(|_| bucket.take(0, start)));
    }

    proptest! {
        #[test]
        fn no_window_of_a_second_has_more_than_two_seconds_worth(
            rate in 1..50u32, gaps in prop::collection::vec(0..400u64, 1..200),
        ) {
            let start = Instant::now();
            let bucket = Bucket::new(start);
            let mut at = Duration::ZERO;
            let mut taken = Vec::new();
            for gap in gaps {
                at += Duration::from_millis(gap);
                if bucket.take(rate, start + at) {
                    taken.push(at);
                }
            }
            for from in &taken {
                let until = *from + Duration::from_secs(1);
                let inside = taken.iter().filter(|one| *one >= from && **one < until).count();
                prop_assert!(inside <= 2 * rate as usize);
            }
        }
    }
}
