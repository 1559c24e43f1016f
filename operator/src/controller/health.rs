//! Whether the operator can do its work, for probes: every watch has to have seen its objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Resource;
use kube::runtime::watcher;

use super::error::words;

/// A watch that broke and opens again says so only when something changes, which may take days. One
/// that cannot be opened is tried again, and fails again, within this time: kube's longest pause and
/// its time to connect are 30 s each.
const TRIED_AGAIN: Duration = Duration::from_secs(90);

/// The state of every watch. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Health(Arc<Mutex<BTreeMap<String, State>>>);

/// How a watch is.
#[derive(Debug, Default)]
struct State {
    /// It has seen its objects.
    listed: bool,
    /// Why it was refused, or what was heard of the API server that is away; and when.
    broken: Option<(String, Instant)>,
}

impl State {
    fn problem(&self, now: Instant) -> Option<&str> {
        match &self.broken {
            Some((_, since)) if self.listed && now.duration_since(*since) > TRIED_AGAIN => None,
            Some((why, _)) => Some(why),
            None if self.listed => None,
            None => Some("not listed yet"),
        }
    }
}

/// One watch's own entry.
pub(super) struct Watch {
    health: Health,
    name: String,
}

impl Health {
    /// Enters a watch, which is not well before its first list.
    pub(super) fn watch<K: Resource>(
        &self,
        kind: &K::DynamicType,
        namespace: Option<&str>,
    ) -> Watch {
        let place =
            namespace.map_or_else(|| "all namespaces".into(), |it| format!("namespace {it}"));
        let watch = Watch {
            health: self.clone(),
            name: format!("{} in {place}", K::plural(kind)),
        };
        watch.with(|_| ());
        watch
    }

    /// What is not well, in words. Nothing: all is.
    pub(super) fn problems(&self, now: Instant) -> Vec<String> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = |(name, state): (&String, &State)| {
            let problem = state.problem(now)?;
            Some(format!("{name}: {problem}"))
        };
        watches.iter().filter_map(problem).collect()
    }
}

impl Watch {
    /// Takes note of what the watch gave.
    pub(super) fn note<K>(&self, event: &watcher::Result<watcher::Event<K>>) {
        match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => self.follows(),
            // A watch that was open for too long starts again from a list, and nothing is wrong.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => {}
            Err(error) => self.breaks(told(error), Instant::now()),
        }
    }

    fn follows(&self) {
        self.with(|state| {
            state.listed = true;
            if state.broken.take().is_some() {
                tracing::info!(watch = self.name, "follows again");
            }
        });
    }

    fn breaks(&self, why: String, now: Instant) {
        self.with(|state| {
            if state.problem(now) != Some(&why) {
                tracing::error!(watch = self.name, "cannot list or watch: {why}");
            }
            state.broken = Some((why, now));
        });
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        let mut watches = self.health.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(watches.entry(self.name.clone()).or_default());
    }
}

/// What went wrong, in words.
pub(super) fn told(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => words(source),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::Status;

    use super::*;

    fn watch(health: &Health) -> Watch {
        health.watch::<Pod>(&(), None)
    }

    fn problems(health: &Health) -> Vec<String> {
        health.problems(Instant::now())
    }

    fn fail(watch: &Watch, code: u16, message: &str) {
        let status = Status {
            code,
            ..Status::failure(message, "")
        };
        watch.note::<Pod>(&Err(watcher::Error::WatchError(Box::new(status))));
    }

    #[test]
    fn is_well_only_while_every_watch_follows() {
        let health = Health::default();
        let watch = watch(&health);
        assert_eq!(
            problems(&health),
            ["pods in all namespaces: not listed yet"]
        );
        fail(&watch, 403, "pods is forbidden");
        assert_eq!(
            problems(&health),
            ["pods in all namespaces: pods is forbidden"]
        );
        watch.note(&Ok(watcher::Event::<Pod>::Init));
        assert_eq!(problems(&health).len(), 1);
        watch.note(&Ok(watcher::Event::<Pod>::InitDone));
        assert!(problems(&health).is_empty());
        fail(&watch, 410, "too old resource version");
        assert!(problems(&health).is_empty());
    }

    #[test]
    fn a_watch_that_opened_again_is_well_though_nothing_has_changed_since() {
        let health = Health::default();
        let watch = watch(&health);
        let after = |time| health.problems(Instant::now() + time).len();
        fail(&watch, 500, "the API server is away");
        assert_eq!(after(2 * TRIED_AGAIN), 1, "what was never listed is not");
        watch.note(&Ok(watcher::Event::<Pod>::InitDone));
        fail(&watch, 500, "the API server is away");
        assert_eq!(after(TRIED_AGAIN / 2), 1);
        assert_eq!(after(2 * TRIED_AGAIN), 0, "it did not fail again");
    }
}
