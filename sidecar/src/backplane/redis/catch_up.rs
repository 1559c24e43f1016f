//! Reads from the history what did not arrive live: after a lost connection, after an overflow, and
//! at a gap.

use redis::Value;
use tokio::time::Instant;

use super::attempt::seen_arguments;
use super::read::unexpected;
use super::reader::Reader;
use super::session::{Clock, Fault, Session};
use super::tracker::{Tracker, Verdict};
use super::{Core, PARTITION_LIFE_MILLIS, fresh_epoch};
use crate::backplane::Position;
use crate::topic::Topic;

/// Publications read at once: a long history is delivered in pieces.
const CHUNK: usize = 64;

/// A partition as Redis has it.
pub(super) struct Partition {
    pub(super) clock: Clock,
    pub(super) position: Position,
    /// Whether the list of topics has no holes.
    complete: bool,
    /// Topics published since the position asked for.
    topics: Vec<Topic>,
}

impl Reader<'_> {
    /// Delivers everything that was missed, and nothing twice. Afterwards live messages follow without
    /// a gap, if they were collected since before this began.
    pub(super) async fn catch_up(&mut self) -> Result<(), Fault> {
        // Patterns first: a topic subscribed a moment ago may still lack what only they wanted.
        if !self.routes.patterns.is_empty() {
            for k in self.core.keys.partitions() {
                self.catch_up_partition(k).await?;
            }
        }
        let topics: Vec<Topic> = self.routes.topics.keys().cloned().collect();
        for some in topics.chunks(1024) {
            for topic in some {
                if let Some(position) = self.routes.topics[topic].position() {
                    self.core.seen.saw_topic(topic, position);
                }
            }
            let asked: Vec<&Topic> = some.iter().collect();
            let heads = self.core.heads(self.session, &asked).await?;
            for (topic, head) in some.iter().zip(heads) {
                // Epoch 0: Redis does not know, and nothing can be read.
                if head.epoch != 0 {
                    self.catch_up_topic(topic, head).await?;
                }
            }
        }
        self.flush().await;
        Ok(())
    }

    /// Delivers what a topic subscribed by name has after `after`, up to its end.
    pub(super) async fn fill(&mut self, topic: &Topic, after: Position) -> Result<(), Fault> {
        let mut after = after;
        loop {
            let kept = self.core.read(self.session, topic, Some(after), CHUNK);
            let kept = match kept.await {
                Ok(kept) => kept,
                // One topic's trouble is not the others'; what is missing will be counted.
                Err(Fault::Refused(reason)) => {
                    tracing::warn!(%topic, reason, "the history could not be read");
                    return Ok(());
                }
                Err(fault) => return Err(fault),
            };
            // What belongs to an epoch that has begun since arrives live, or with the next head.
            if kept.head.epoch != after.epoch {
                return Ok(());
            }
            let count = kept.entries.len();
            for (publication, at, _) in kept.entries {
                let Some(tracker) = self.routes.topics.get_mut(topic) else {
                    return Ok(());
                };
                let lost = tracker.give_up_before(at);
                let verdict = tracker.offer(at);
                self.lose(lost, topic);
                after = at;
                if verdict == Verdict::Deliver {
                    self.core.metrics.gaps_filled.inc();
                    self.put(publication);
                    self.flush_if_full().await;
                }
            }
            if count < CHUNK {
                return Ok(());
            }
        }
    }

    /// Delivers what patterns bring of a partition after the last that they brought.
    pub(super) async fn catch_up_partition(&mut self, k: u16) -> Result<(), Fault> {
        let tracker = self.routes.partitions[usize::from(k)];
        let partition = self
            .core
            .partition(self.session, k, tracker.position(), true)
            .await?;
        let head = partition.position;
        let tracker = &mut self.routes.partitions[usize::from(k)];
        let Some(after) = tracker.catch_up(head) else {
            return Ok(());
        };
        if !partition.complete {
            self.core.metrics.lost.inc();
            tracing::warn!(
                partition = k,
                "too many topics were missed: those published to first are lost"
            );
        }
        for topic in &partition.topics {
            if !self.routes.patterns.matches(topic) {
                continue;
            }
            match self.fill_by_place(topic, after.offset, head).await {
                Err(Fault::Refused(reason)) => {
                    self.lose(1, topic);
                    tracing::warn!(%topic, reason, "the history could not be read");
                }
                result => result?,
            }
        }
        let keys = &self.core.keys;
        let caught_up = &mut self.routes.caught_up;
        caught_up.retain(|topic, _| keys.partition(topic) != k);
        self.routes.partitions[usize::from(k)].skip_to(head);
        self.flush_if_full().await;
        Ok(())
    }

    async fn catch_up_topic(&mut self, topic: &Topic, head: Position) -> Result<(), Fault> {
        let Some(tracker) = self.routes.topics.get_mut(topic) else {
            return Ok(());
        };
        let Some(after) = tracker.catch_up(head) else {
            return Ok(());
        };
        self.fill(topic, after).await?;
        let Some(tracker) = self.routes.topics.get_mut(topic) else {
            return Ok(());
        };
        // The head itself is not kept any more either.
        let lost = tracker.give_up_before(Position {
            offset: head.offset + 1,
            ..head
        });
        self.lose(lost, topic);
        Ok(())
    }

    /// Delivers a topic's publications whose place in the partition lies in `(after, until]`.
    async fn fill_by_place(
        &mut self,
        topic: &Topic,
        after: u64,
        until: Position,
    ) -> Result<(), Fault> {
        let caught_up = self.routes.caught_up.get(topic);
        let after = match caught_up {
            Some(place) if place.epoch == until.epoch => after.max(place.offset),
            _ => after,
        };
        let (mut from, reaches) = self.core.since(self.session, topic, after).await?;
        // A topic that is subscribed by name too keeps its own count, and is read from there: its next
        // arrival by name, which would show the same gap, may never come.
        let own = self.routes.topics.get(topic);
        let own = own.filter(|own| own.has_delivered());
        let named = own.and_then(Tracker::position);
        let named = named.filter(|named| named.epoch == from.epoch);
        if let Some(named) = named {
            from = named;
        } else if !reaches {
            self.lose(1, topic);
        }
        loop {
            let kept = self.core.read(self.session, topic, Some(from), CHUNK);
            let kept = kept.await?;
            if kept.head.epoch != from.epoch {
                return Ok(());
            }
            let count = kept.entries.len();
            for (publication, at, place) in kept.entries {
                from = at;
                if place <= after && named.is_none() {
                    continue;
                }
                if place > until.offset {
                    return Ok(());
                }
                let place = Position {
                    offset: place,
                    ..until
                };
                self.routes.caught_up.insert(topic.clone(), place);
                let own = self.routes.topics.get_mut(topic);
                let (lost, twice) = own.map_or((0, false), |own| {
                    let lost = own.give_up_before(at);
                    (lost, own.offer(at) == Verdict::Duplicate)
                });
                self.lose(lost, topic);
                if !twice {
                    self.core.metrics.gaps_filled.inc();
                    self.put(publication);
                    self.flush_if_full().await;
                }
            }
            if count < CHUNK {
                return Ok(());
            }
        }
    }
}

impl Core {
    /// Asks for a partition; with `list`, also for the topics published since `since`.
    pub(super) async fn partition(
        &self,
        session: &Session,
        k: u16,
        since: Option<Position>,
        list: bool,
    ) -> Result<Partition, Fault> {
        let mut conn = session.commands();
        let call = self.scripts.partition.call(&mut conn, |call| {
            call.arg(2)
                .arg(self.keys.partition_position(k))
                .arg(self.keys.recent(k))
                .arg(fresh_epoch());
            seen_arguments(call, since);
            call.arg(PARTITION_LIFE_MILLIS).arg(u8::from(list));
        });
        let reply = session.ask(call).await?;
        let partition = parse(reply).ok_or_else(unexpected)?;
        self.seen.saw_partition(k, partition.position);
        Ok(partition)
    }
}

fn parse(reply: Value) -> Option<Partition> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let at = Instant::now();
    let mut parts = parts.into_iter();
    let shown: u64 = redis::from_redis_value(parts.next()?).ok()?;
    let position = Position {
        epoch: redis::from_redis_value(parts.next()?).ok()?,
        offset: redis::from_redis_value(parts.next()?).ok()?,
    };
    let complete: u8 = redis::from_redis_value(parts.next()?).ok()?;
    let topics = parts.map(|part| {
        let name: String = redis::from_redis_value(part).ok()?;
        Some(Topic::trusted(&name))
    });
    Some(Partition {
        clock: Clock::new(shown, at),
        position,
        complete: complete == 1,
        topics: topics.collect::<Option<_>>()?,
    })
}
