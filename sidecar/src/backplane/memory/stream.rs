//! One topic's stream in memory.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::time::Instant;

use crate::backplane::{Past, Position, Publication, Publish};
use crate::topic::Topic;

/// A topic's position outlives its history by this much at least, so that a quiet topic does not
/// look like one that lost its past.
const POSITION_LIFE: Duration = Duration::from_secs(3600);

/// Where a topic is, and what is kept of its past.
pub(super) struct Stream {
    head: Position,
    /// The last of the topic's publications, oldest first; the newest has the head's offset.
    kept: VecDeque<Bytes>,
    history_ends: Instant,
    forgotten: Instant,
    /// Idempotency key, its publication's offset, and when it is forgotten.
    keys: HashMap<String, (u64, Instant)>,
}

impl Stream {
    pub(super) fn new(epoch: u32, now: Instant) -> Self {
        Self {
            head: Position { epoch, offset: 0 },
            kept: VecDeque::new(),
            history_ends: now,
            forgotten: now + POSITION_LIFE,
            keys: HashMap::new(),
        }
    }

    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// The position of the publish that had this key.
    pub(super) fn published_before(&self, key: Option<&str>, now: Instant) -> Option<Position> {
        let &(offset, until) = self.keys.get(key?)?;
        (now < until).then_some(Position {
            offset,
            ..self.head
        })
    }

    pub(super) fn append(&mut self, publish: &Publish, now: Instant) -> Position {
        self.forget_history(now);
        self.head.offset += 1;
        let life = Duration::from_secs(publish.history.ttl_seconds.max(1));
        self.history_ends = now + life;
        self.forgotten = now + life.max(POSITION_LIFE);
        self.kept.push_back(publish.payload.clone());
        let size = usize::try_from(publish.history.size).unwrap_or(usize::MAX);
        while self.kept.len() > size {
            self.kept.pop_front();
        }
        if let Some(key) = &publish.idempotency_key {
            let record = (self.head.offset, now + life);
            self.keys.insert(key.clone(), record);
        }
        self.head
    }

    pub(super) fn read(
        &mut self,
        topic: &Topic,
        since: Option<Position>,
        limit: usize,
        now: Instant,
    ) -> Past {
        self.forget_history(now);
        let since = since.unwrap_or(Position {
            epoch: self.head.epoch,
            offset: 0,
        });
        let same = since.epoch == self.head.epoch;
        let after = if same { since.offset } else { 0 };
        let forgotten = self.head.offset - self.kept.len() as u64;
        let skip = usize::try_from(after.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        let publications = (forgotten + 1..)
            .zip(&self.kept)
            .skip(skip)
            .take(limit)
            .map(|(offset, payload)| Publication {
                topic: topic.clone(),
                position: Some(Position {
                    offset,
                    ..self.head
                }),
                payload: payload.clone(),
            })
            .collect();
        Past {
            head: self.head,
            publications,
            complete: same && (forgotten..=self.head.offset).contains(&after),
        }
    }

    /// Throws away what is too old. True when nothing is left to know.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.forget_history(now);
        self.keys.retain(|_, (_, until)| now < *until);
        now >= self.forgotten
    }

    fn forget_history(&mut self, now: Instant) {
        if now >= self.history_ends {
            self.kept.clear();
        }
    }
}
