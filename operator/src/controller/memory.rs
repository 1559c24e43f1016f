//! What one pass leaves for the next. Losing it costs a few calls that change nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::kind::Kind;
use super::preflight::Denied;
use crate::api::WseClusterStatus;
use crate::plan;

/// The first wait after a pass that failed; each further one is twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Of one cluster.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) plan: plan::Memory,
    /// The generation whose specification was checked, and what is wrong with it.
    pub(super) checked: Option<(Option<i64>, Vec<String>)>,
    /// Objects as they were after they were applied.
    pub(super) applied: HashMap<(Kind, String), Applied>,
    /// The admin token, and when it was read.
    pub(super) token: Option<(String, Instant)>,
    /// The status as it was written, which the cache may not show yet.
    pub(super) told: Option<(Option<u64>, WseClusterStatus)>,
    /// Annotations of pods as they were written, by the pods' UIDs.
    pub(super) annotated: HashMap<String, Annotated>,
    /// UIDs of pods that were said to be emptied.
    pub(super) emptied: HashSet<String>,
    /// The preflight that may not be made.
    pub(super) denied: Option<Denied>,
    /// What was said to be overridden.
    pub(super) overridden: Vec<String>,
    /// Passes since the last that changed anything.
    pub(super) idle_passes: u32,
    /// Passes that failed since the last that did not.
    failures: u32,
}

/// An object as it was after it was applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    /// What was applied.
    pub(super) wanted: u64,
    /// What was there then.
    pub(super) there: u64,
    /// Its version. A cache that shows an older one has not followed yet.
    pub(super) version: Option<u64>,
}

/// A pod's annotations as they were written.
#[derive(Debug)]
pub(super) struct Annotated {
    pub(super) version: Option<u64>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Memory {
    /// How long to wait after a pass that failed.
    fn retry(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(6);
        (FIRST_RETRY * (1 << doublings)).min(LAST_RETRY)
    }
}

/// Memories of clusters that are gone, before they are looked for.
const GONE: usize = 64;

/// Of all clusters, by UID. A pass takes one out and puts it back; no two passes are of one cluster.
#[derive(Debug, Default)]
pub(super) struct Memories(Mutex<HashMap<String, Memory>>);

impl Memories {
    pub(super) fn take(&self, uid: &str) -> Memory {
        self.lock().remove(uid).unwrap_or_default()
    }

    /// Puts it back.
    pub(super) fn put(&self, uid: &str, mut memory: Memory, failed: bool) {
        memory.failures = if failed { memory.failures + 1 } else { 0 };
        self.lock().insert(uid.into(), memory);
    }

    /// Forgets the clusters that `live` does not hold, when there are many more than the `count` that
    /// live. Looking at all of them takes long, so it is not done for each that goes.
    pub(super) fn tidy(&self, count: usize, live: impl FnOnce() -> HashSet<String>) {
        if self.lock().len() <= count + GONE {
            return;
        }
        let live = live();
        self.lock().retain(|uid, _| live.contains(uid));
    }

    /// How long to wait after a pass that failed.
    pub(super) fn retry(&self, uid: &str) -> Duration {
        self.lock().get(uid).map_or(FIRST_RETRY, Memory::retry)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Memory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version of an object as a number that grows, which every API server in use gives. None: it
/// does not, and then what a cache shows has to be believed.
pub(super) fn version(metadata: &ObjectMeta) -> Option<u64> {
    parse(metadata.resource_version.as_deref()?)
}

/// A version as a number.
pub(super) fn parse(version: &str) -> Option<u64> {
    version.parse().ok()
}

/// Whether what a cache shows is older than what was written, by their versions.
pub(super) fn is_stale(shown: Option<u64>, written: Option<u64>) -> bool {
    matches!((shown, written), (Some(shown), Some(written)) if shown < written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_up_to_a_minute() {
        let memories = Memories::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            memories.put("a", memories.take("a"), true);
            waits.push(memories.retry("a").as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        memories.put("a", memories.take("a"), false);
        memories.put("a", memories.take("a"), true);
        assert_eq!(memories.retry("a").as_secs(), 1);
    }

    #[test]
    fn clusters_that_are_gone_are_forgotten() {
        let memories = Memories::default();
        let names: Vec<String> = (0..=GONE + 1).map(|index| index.to_string()).collect();
        for name in &names {
            memories.put(name, Memory::default(), false);
        }
        let count = || memories.lock().len();
        memories.tidy(2, || unreachable!("there are few"));
        assert_eq!(count(), GONE + 2);
        memories.tidy(1, || HashSet::from(["0".into()]));
        let left: Vec<String> = memories.lock().keys().cloned().collect();
        assert_eq!(left, ["0"]);
    }
}
