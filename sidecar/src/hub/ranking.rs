//! Which topics of a reactor have most subscribers, known without a scan.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use crate::topic::Topic;

/// Topics shown to the other threads. The topic that is largest in the pod is found when it is among
/// the largest of every reactor that it is spread over; sessions are spread evenly, so it is.
const SHOWN: usize = 16;

/// A reactor's topics by number of subscribers. Reserved topics do not count.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    order: BTreeSet<(usize, Topic)>,
    changed: bool,
    subscriptions: usize,
    shown: Arc<Shown>,
}

/// What the other threads see: a reactor's largest topics, and its totals.
#[derive(Debug, Default)]
pub struct Shown(Mutex<Top>);

#[derive(Debug, Default)]
struct Top {
    largest: Vec<(Topic, usize)>,
    subscriptions: usize,
}

impl Ranking {
    /// A ranking that shows itself in `shown`.
    pub(super) fn new(shown: Arc<Shown>) -> Self {
        Self {
            shown,
            ..Self::default()
        }
    }

    /// A topic's number of subscribers has changed.
    pub(super) fn change(&mut self, topic: &Topic, before: usize, after: usize) {
        if before == after || topic.is_reserved() {
            return;
        }
        self.order.remove(&(before, topic.clone()));
        if after > 0 {
            self.order.insert((after, topic.clone()));
        }
        self.changed = true;
    }

    /// The largest topics that begin with `prefix`, largest first.
    pub(super) fn largest<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Topic, usize)> {
        self.order
            .iter()
            .rev()
            .filter(move |(_, topic)| topic.as_str().starts_with(prefix))
            .map(|(count, topic)| (topic, *count))
    }

    /// Shows what has changed since the last time.
    pub(super) fn show(&mut self, subscriptions: usize) {
        let moved = std::mem::replace(&mut self.subscriptions, subscriptions) != subscriptions;
        if !std::mem::take(&mut self.changed) && !moved {
            return;
        }
        let largest = self.order.iter().rev().take(SHOWN);
        let largest = largest.map(|(count, topic)| (topic.clone(), *count));
        let top = Top {
            largest: largest.collect(),
            subscriptions,
        };
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = top;
    }
}

/// Subscribers of the topic that has most of them over all reactors.
pub(super) fn largest_topic<'a>(reactors: impl Iterator<Item = &'a Shown>) -> usize {
    let mut by_topic: HashMap<Topic, usize> = HashMap::new();
    for shown in reactors {
        let top = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, count) in &top.largest {
            *by_topic.entry(topic.clone()).or_default() += count;
        }
    }
    by_topic.into_values().max().unwrap_or(0)
}

/// Subscriptions of all sessions, over all reactors.
pub(super) fn subscriptions<'a>(reactors: impl Iterator<Item = &'a Shown>) -> usize {
    let count = |shown: &Shown| {
        let top = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
        top.subscriptions
    };
    reactors.map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_topic_is_summed_over_reactors() {
        let shown = [Arc::new(Shown::default()), Arc::new(Shown::default())];
        let topic = Topic::trusted;
        for (shown, counts) in shown
            .iter()
            .zip([[("a", 3), ("b", 2)], [("b", 2), ("c", 3)]])
        {
            let mut ranking = Ranking::new(Arc::clone(shown));
            for (name, count) in counts {
                ranking.change(&topic(name), 0, count);
            }
            ranking.change(&Topic::all(), 0, 99);
            ranking.show(5);
        }
        assert_eq!(largest_topic(shown.iter().map(|shown| &**shown)), 4);
        assert_eq!(subscriptions(shown.iter().map(|shown| &**shown)), 10);
    }

    #[test]
    fn topics_that_lost_all_their_subscribers_are_not_listed() {
        let mut ranking = Ranking::default();
        ranking.change(&Topic::trusted("chat.a"), 0, 1);
        ranking.change(&Topic::trusted("chat.b"), 0, 2);
        ranking.change(&Topic::trusted("price"), 0, 7);
        ranking.change(&Topic::trusted("chat.a"), 1, 0);
        let listed: Vec<_> = ranking
            .largest("chat.")
            .map(|(topic, _)| topic.as_str())
            .collect();
        assert_eq!(listed, ["chat.b"]);
    }
}
