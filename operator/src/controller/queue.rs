//! Whose pass is next. Whoever is due longest comes first, so that no cluster waits for ever however
//! many others want passes all the time; but a change comes before looks that are only due by the
//! clock.
//!
//! No I/O, and the time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::root::Root;

/// Changes that come together are one pass.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long a look by the clock lets changes go first. After that it is as urgent as they are.
const COURTESY: Duration = Duration::from_secs(10);

type Cluster = ObjectRef<Root>;
/// A time, and a number that no other has, in which the order of the same time is that of asking.
type Turn = (Instant, u64);

/// Clusters that want a pass. Each is in it once.
#[derive(Default)]
pub(super) struct Queue {
    states: HashMap<Cluster, State>,
    /// By when they are due.
    waiting: BTreeMap<Turn, Cluster>,
    /// Those that are due, by whose turn it is.
    due: BTreeMap<Turn, Cluster>,
    number: u64,
}

#[derive(Clone, Copy)]
enum State {
    Due(Turn),
    /// Its pass runs; and something has changed since it began.
    Runs {
        changed: bool,
    },
    Waits {
        turn: Turn,
        changed: bool,
    },
}

impl Queue {
    /// Something has changed.
    pub(super) fn change(&mut self, cluster: Cluster, now: Instant) {
        match self.states.get_mut(&cluster) {
            Some(State::Runs { changed }) => *changed = true,
            Some(State::Waits {
                turn,
                changed: false,
            }) => {
                let turn = *turn;
                self.waiting.remove(&turn);
                self.wait(cluster, now + DEBOUNCE, true);
            }
            // A look by the clock that is due already becomes one for the change.
            Some(State::Due(turn)) => {
                let turn = *turn;
                if turn.0 > now {
                    self.due.remove(&turn);
                    self.wait(cluster, now, true);
                }
            }
            Some(State::Waits { .. }) => {}
            None => self.wait(cluster, now + DEBOUNCE, true),
        }
    }

    /// Takes the next whose turn it is. It must be given back by [`Queue::done`].
    pub(super) fn take(&mut self, now: Instant) -> Option<Cluster> {
        while let Some(first) = self.waiting.first_entry().filter(|it| it.key().0 <= now) {
            let (at, number) = *first.key();
            let cluster = first.remove();
            let changed = matches!(self.states[&cluster], State::Waits { changed: true, .. });
            let courtesy = if changed { Duration::ZERO } else { COURTESY };
            let turn = (at + courtesy, number);
            self.states.insert(cluster.clone(), State::Due(turn));
            self.due.insert(turn, cluster);
        }
        let (_, cluster) = self.due.pop_first()?;
        self.states
            .insert(cluster.clone(), State::Runs { changed: false });
        Some(cluster)
    }

    /// Its pass has ended. None: it is gone.
    pub(super) fn done(&mut self, cluster: Cluster, again: Option<Duration>, now: Instant) {
        let changed = matches!(
            self.states.remove(&cluster),
            Some(State::Runs { changed: true })
        );
        match again {
            _ if changed => self.wait(cluster, now + DEBOUNCE, true),
            Some(pause) => self.wait(cluster, now + pause, false),
            None => {}
        }
    }

    /// When the next will be due that is not yet.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(turn, _)| turn.0)
    }

    fn wait(&mut self, cluster: Cluster, at: Instant, changed: bool) {
        self.number += 1;
        let turn = (at, self.number);
        self.states
            .insert(cluster.clone(), State::Waits { turn, changed });
        self.waiting.insert(turn, cluster);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cluster(name: impl ToString) -> Cluster {
        ObjectRef::new(&name.to_string()).within("a")
    }

    /// Takes whatever is due.
    fn all(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.take(now))
            .map(|it| it.name)
            .collect()
    }

    #[test]
    fn changes_that_come_together_are_one_pass() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        for _ in 0..10 {
            queue.change(cluster("a"), start);
        }
        assert_eq!(queue.take(start), None);
        assert_eq!(queue.next(), Some(start + DEBOUNCE));
        assert_eq!(all(&mut queue, start + DEBOUNCE), ["a"]);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_cluster_is_looked_at_again_when_it_said_and_sooner_when_something_changes() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.change(cluster("a"), start);
        queue.take(start + DEBOUNCE).unwrap();
        queue.done(cluster("a"), Some(10 * SECOND), start);
        assert_eq!(queue.take(start + 9 * SECOND), None);
        assert_eq!(all(&mut queue, start + 10 * SECOND), ["a"]);
        queue.done(cluster("a"), Some(10 * SECOND), start);
        queue.change(cluster("a"), start);
        assert_eq!(all(&mut queue, start + DEBOUNCE), ["a"]);
        assert_eq!(all(&mut queue, start + 60 * SECOND), [""; 0], "only once");
    }

    #[test]
    fn what_changes_during_a_pass_is_another_pass_after_it() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.change(cluster("a"), start);
        queue.take(start + SECOND).unwrap();
        queue.change(cluster("a"), start + SECOND);
        assert_eq!(queue.take(start + 5 * SECOND), None, "no two at once");
        queue.done(cluster("a"), Some(60 * SECOND), start + 5 * SECOND);
        assert_eq!(all(&mut queue, start + 6 * SECOND), ["a"]);
        queue.change(cluster("a"), start + 6 * SECOND);
        queue.done(cluster("a"), None, start + 6 * SECOND);
        assert_eq!(all(&mut queue, start + 7 * SECOND), ["a"], "it came back");
        queue.done(cluster("a"), None, start + 7 * SECOND);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_change_comes_before_looks_by_the_clock() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        for name in ["a", "b", "c"] {
            queue.done(cluster(name), Some(SECOND), start);
        }
        // Two are late already.
        let now = start + 2 * SECOND;
        assert_eq!(queue.take(now).unwrap().name, "a");
        queue.change(cluster("c"), now);
        queue.change(cluster("d"), now);
        assert_eq!(all(&mut queue, now + DEBOUNCE), ["c", "d", "b"]);
    }

    #[test]
    fn no_cluster_waits_for_ever_for_others_that_want_more_passes_than_there_can_be() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        // A thousand look every second, a hundred change all the time, and there are twenty passes a
        // second.
        for index in 0..1_000 {
            queue.change(cluster(index), now);
        }
        let mut passes = HashMap::<Cluster, u32>::new();
        for _ in 0..20 * 240 {
            now += SECOND / 20;
            let Some(one) = queue.take(now) else { continue };
            *passes.entry(one.clone()).or_default() += 1;
            queue.done(one, Some(SECOND), now);
            for index in 0..10 {
                queue.change(cluster(index), now);
            }
        }
        assert_eq!(passes.len(), 1_000);
        let fewest = passes.values().min().unwrap();
        assert!(*fewest >= 2, "{fewest}");
    }
}
