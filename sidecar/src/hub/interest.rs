//! Interest: which reactors want which topic, and one task that keeps the backplane told.
//!
//! The task works in rounds: it takes every announcement that waits, drops what no reactor wants any
//! more, then subscribes to the rest in one call. Because it alone talks to the backplane about
//! interest, dropping a topic never races with wanting it again; because it takes all that waits, ten
//! thousand clients that come at once cost a few calls.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::command::{Command, Outcome, Settled};
use super::patterns::PatternIndex;
use super::router::Shared;
use crate::backplane::Interest;
use crate::backplane::{Backplane, Error, Position, State};
use crate::topic::Topic;

/// Interests in one call to the backplane.
const ROUND: usize = 1_024;

/// A backplane that has not answered for this long counts as away, so that no client waits for its
/// `server_ready` longer.
const ANSWER: Duration = Duration::from_secs(3);

/// How often what the backplane could not take is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// An announcement of a reactor.
#[derive(Debug)]
pub(super) enum Call {
    /// The reactor has no subscriber of these any more.
    Drop { interests: Vec<Interest> },
    /// The reactor has its first subscriber of these.
    Want {
        reactor: usize,
        interests: Vec<(Interest, u64)>,
    },
}

/// Most reactors that a pod can have: one bit each.
pub(super) const MOST_REACTORS: usize = 128;

/// A set of reactors' numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Reactors(u128);

impl Reactors {
    /// So many, from number 0 on.
    pub(super) fn first(count: usize) -> Self {
        let mut all = Self::default();
        (0..count).for_each(|reactor| all.add(reactor));
        all
    }

    fn add(&mut self, reactor: usize) {
        self.0 |= 1 << reactor;
    }

    fn remove(&mut self, reactor: usize) {
        self.0 &= !(1 << reactor);
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Iterator for Reactors {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let lowest = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.remove(lowest);
        Some(lowest)
    }
}

/// Which reactors want what.
#[derive(Debug, Default)]
pub(super) struct Table {
    topics: HashMap<Topic, Reactors>,
    patterns: PatternIndex<Reactors>,
}

impl Table {
    /// The reactor wants it.
    pub(super) fn add(&mut self, interest: &Interest, reactor: usize) {
        match interest {
            Interest::Pattern(pattern) => {
                self.patterns.get_or_insert_with(pattern, Reactors::default)
            }
            Interest::Topic(topic) => self.topics.entry(topic.clone()).or_default(),
        }
        .add(reactor);
    }

    /// The reactor wants it no more.
    pub(super) fn remove(&mut self, interest: &Interest, reactor: usize) {
        let reactors = match interest {
            Interest::Pattern(pattern) => self.patterns.get_mut(pattern),
            Interest::Topic(topic) => self.topics.get_mut(topic),
        };
        let Some(reactors) = reactors else {
            return;
        };
        reactors.remove(reactor);
        if reactors.is_empty() {
            match interest {
                Interest::Pattern(pattern) => drop(self.patterns.remove(pattern)),
                Interest::Topic(topic) => drop(self.topics.remove(topic)),
            }
        }
    }

    /// Reactors that want this topic by name.
    pub(super) fn naming(&self, topic: &Topic) -> Reactors {
        self.topics.get(topic).copied().unwrap_or_default()
    }

    /// Reactors that want a publication on this topic.
    pub(super) fn wanting(&self, topic: &Topic) -> Reactors {
        let mut all = self.naming(topic);
        self.patterns
            .each_match(topic, |reactors| all.0 |= reactors.0);
        all
    }

    fn has(&self, interest: &Interest) -> bool {
        match interest {
            Interest::Pattern(pattern) => self.patterns.contains(pattern),
            Interest::Topic(topic) => self.topics.contains_key(topic),
        }
    }
}

/// The part of the backplane that interest needs.
pub(super) trait Upstream: Send + Sync + 'static {
    /// As [`Backplane::subscribe`].
    fn subscribe(
        &self,
        interests: Vec<Interest>,
    ) -> impl Future<Output = Result<Vec<Option<Position>>, Error>> + Send;

    /// As [`Backplane::unsubscribe`].
    fn unsubscribe(&self, interests: Vec<Interest>) -> impl Future<Output = ()> + Send;

    /// As [`Backplane::state`].
    fn state(&self) -> State;
}

impl Upstream for Backplane {
    async fn subscribe(&self, interests: Vec<Interest>) -> Result<Vec<Option<Position>>, Error> {
        Self::subscribe(self, interests).await
    }

    async fn unsubscribe(&self, interests: Vec<Interest>) {
        Self::unsubscribe(self, interests).await;
    }

    fn state(&self) -> State {
        Self::state(self)
    }
}

/// One announcement that wants an outcome.
#[derive(Clone, Debug)]
struct Want {
    reactor: usize,
    interest: Interest,
    announcement: u64,
}

/// Keeps the backplane told. Ends when the router is gone.
pub(super) async fn keep(
    shared: Arc<Shared>,
    mut calls: mpsc::UnboundedReceiver<Call>,
    upstream: impl Upstream,
) {
    let mut keeper = Keeper {
        shared,
        upstream,
        subscribed: HashSet::new(),
        away: Vec::new(),
    };
    let mut retry_at = Instant::now();
    loop {
        let mut wants = Vec::new();
        let mut drops = Vec::new();
        tokio::select! {
            call = calls.recv() => match call {
                Some(call) => take(call, &mut wants, &mut drops),
                None => return,
            },
            () = sleep_until(retry_at), if !keeper.away.is_empty() => {
                retry_at = Instant::now() + RETRY;
                keeper.forget_unwanted();
                if keeper.upstream.state() == State::Degraded {
                    continue;
                }
                wants.append(&mut keeper.away);
            }
        }
        while wants.len() + drops.len() < ROUND
            && let Ok(call) = calls.try_recv()
        {
            take(call, &mut wants, &mut drops);
        }
        keeper.drop(drops).await;
        keeper.subscribe(wants).await;
    }
}

/// Keeps what is still wanted, once for each reactor, in its order.
fn keep_wanted(wants: &mut Vec<Want>, table: &Table) {
    let mut kept = HashSet::new();
    // The newest announcement is the one that its reactor waits for.
    wants.reverse();
    wants.retain(|want| {
        table.has(&want.interest) && kept.insert((want.reactor, want.interest.clone()))
    });
    wants.reverse();
}

fn take(call: Call, wants: &mut Vec<Want>, drops: &mut Vec<Interest>) {
    match call {
        Call::Drop { interests } => drops.extend(interests),
        Call::Want { reactor, interests } => {
            wants.extend(interests.into_iter().map(|(interest, announcement)| Want {
                reactor,
                interest,
                announcement,
            }));
        }
    }
}

struct Keeper<U> {
    shared: Arc<Shared>,
    upstream: U,
    /// What the backplane has been told.
    subscribed: HashSet<Interest>,
    /// What it could not take yet; their reactors know.
    away: Vec<Want>,
}

impl<U: Upstream> Keeper<U> {
    async fn drop(&mut self, mut drops: Vec<Interest>) {
        drops.retain(|interest| !self.is_wanted(interest));
        drops.retain(|interest| self.subscribed.remove(interest));
        if !drops.is_empty() {
            // Not answering is as good as an answer: what still arrives has no reactor.
            let _ = timeout(ANSWER, self.upstream.unsubscribe(drops)).await;
        }
    }

    /// Clients that change their minds during a long outage must not grow the list of what the backplane
    /// could not take.
    fn forget_unwanted(&mut self) {
        let table = &self.shared.table;
        let table = table.read().unwrap_or_else(PoisonError::into_inner);
        keep_wanted(&mut self.away, &table);
    }

    async fn subscribe(&mut self, mut wants: Vec<Want>) {
        wants.retain(|want| self.is_wanted(&want.interest));
        if wants.is_empty() {
            return;
        }
        let mut interests: Vec<Interest> = Vec::new();
        let mut places: HashMap<&Interest, usize> = HashMap::new();
        for want in &wants {
            places.entry(&want.interest).or_insert_with(|| {
                interests.push(want.interest.clone());
                interests.len() - 1
            });
        }
        self.subscribed.extend(interests.iter().cloned());
        let outcomes = self.outcomes(&interests).await;
        let mut settled: Vec<Vec<Settled>> = Vec::new();
        for want in &wants {
            let outcome = outcomes[places[&want.interest]];
            match outcome {
                Outcome::Away => self.away.push(want.clone()),
                Outcome::Live(_) => {}
                Outcome::Refused => {
                    self.subscribed.remove(&want.interest);
                }
            }
            if settled.len() <= want.reactor {
                settled.resize_with(want.reactor + 1, Vec::new);
            }
            settled[want.reactor].push(Settled {
                interest: want.interest.clone(),
                announcement: want.announcement,
                outcome,
            });
        }
        for (reactor, settled) in self.shared.reactors().iter().zip(settled) {
            if !settled.is_empty() {
                let bytes = settled.len() * size_of::<Settled>();
                reactor.inbox.urge(Command::Settled(settled), bytes);
            }
        }
    }

    /// Asks for all at once. When the backplane refuses, asks one by one to learn which it refuses.
    async fn outcomes(&self, interests: &[Interest]) -> Vec<Outcome> {
        match self.ask(interests.to_vec()).await {
            Ok(heads) => return heads.into_iter().map(Outcome::Live).collect(),
            Err(Outcome::Refused) if interests.len() > 1 => {}
            Err(outcome) => return vec![outcome; interests.len()],
        }
        let mut outcomes = Vec::with_capacity(interests.len());
        for interest in interests {
            outcomes.push(match self.ask(vec![interest.clone()]).await {
                Ok(heads) => Outcome::Live(heads.first().copied().flatten()),
                Err(outcome) => outcome,
            });
        }
        outcomes
    }

    async fn ask(&self, interests: Vec<Interest>) -> Result<Vec<Option<Position>>, Outcome> {
        let count = interests.len();
        match timeout(ANSWER, self.upstream.subscribe(interests)).await {
            Ok(Ok(mut heads)) => {
                heads.resize(count, None);
                Ok(heads)
            }
            Ok(Err(Error::Away(_))) | Err(_) => Err(Outcome::Away),
            Ok(Err(error)) => {
                tracing::error!(%error, "a subscription was refused by the backplane");
                Err(Outcome::Refused)
            }
        }
    }

    fn is_wanted(&self, interest: &Interest) -> bool {
        let table = &self.shared.table;
        table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .has(interest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_waits_for_the_backplane_only_the_newest_that_is_wanted_is_kept() {
        let interest = |name: &str| Interest::Topic(Topic::trusted(name));
        let mut table = Table::default();
        for (name, reactor) in [("a", 0), ("a", 1), ("b", 0), ("gone", 0)] {
            table.add(&interest(name), reactor);
        }
        table.remove(&interest("gone"), 0);
        let mut wants: Vec<Want> = [("a", 0), ("gone", 0), ("a", 1), ("b", 0), ("a", 0)]
            .into_iter()
            .cycle()
            .take(5_000)
            .zip(1..)
            .map(|((name, reactor), announcement)| Want {
                reactor,
                interest: interest(name),
                announcement,
            })
            .collect();
        keep_wanted(&mut wants, &table);
        let kept: Vec<_> = wants
            .iter()
            .map(|want| (want.interest.clone(), want.reactor, want.announcement))
            .collect();
        assert_eq!(
            kept,
            [
                (interest("a"), 1, 4_998),
                (interest("b"), 0, 4_999),
                (interest("a"), 0, 5_000)
            ]
        );
    }
}
