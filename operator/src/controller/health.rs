//! Whether the operator can do its work, for probes: every watch has to have seen its objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Resource;
use kube::runtime::watcher;

use super::error::words;

/// The state of every watch. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Health(Arc<Mutex<BTreeMap<String, State>>>);

/// How a watch is.
#[derive(Clone, Debug, Eq, PartialEq)]
enum State {
    /// It has not seen its objects yet.
    Starts,
    /// It follows.
    Follows,
    /// It was refused, or the API server is away.
    Broken(String),
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
        watch.become_(State::Starts);
        watch
    }

    /// What is not well, in words. Nothing: all is.
    pub(super) fn problems(&self) -> Vec<String> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = |(name, state): (&String, &State)| match state {
            State::Starts => Some(format!("{name}: not listed yet")),
            State::Follows => None,
            State::Broken(why) => Some(format!("{name}: {why}")),
        };
        watches.iter().filter_map(problem).collect()
    }
}

impl Watch {
    /// Takes note of what the watch gave.
    pub(super) fn note<K>(&self, event: &watcher::Result<watcher::Event<K>>) {
        match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => self.become_(State::Follows),
            // A watch that was open for too long starts again from a list, and nothing is wrong.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => {}
            Err(error) => self.become_(State::Broken(told(error))),
        }
    }

    fn become_(&self, state: State) {
        let mut watches = self.health.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = watches.insert(self.name.clone(), state.clone());
        if before.as_ref() == Some(&state) {
            return;
        }
        match (&state, before) {
            (State::Broken(why), _) => {
                tracing::error!(watch = self.name, "cannot list or watch: {why}");
            }
            (State::Follows, Some(State::Broken(_))) => {
                tracing::info!(watch = self.name, "follows again");
            }
            _ => {}
        }
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

    #[test]
    fn is_well_only_while_every_watch_follows() {
        let health = Health::default();
        let watch = health.watch::<Pod>(&(), None);
        assert_eq!(
            health.problems(),
            ["pods in all namespaces: not listed yet"]
        );
        let fails = |code, message: &str| {
            let status = Status {
                code,
                ..Status::failure(message, "")
            };
            watch.note::<Pod>(&Err(watcher::Error::WatchError(Box::new(status))));
        };
        fails(403, "pods is forbidden");
        assert_eq!(
            health.problems(),
            ["pods in all namespaces: pods is forbidden"]
        );
        watch.note(&Ok(watcher::Event::<Pod>::Init));
        assert_eq!(health.problems().len(), 1);
        watch.note(&Ok(watcher::Event::<Pod>::InitDone));
        assert!(health.problems().is_empty());
        fails(410, "too old resource version");
        assert!(health.problems().is_empty());
    }
}
