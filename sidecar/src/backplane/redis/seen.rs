//! The last position that this pod knows of a topic or a partition. Every script call carries it: a
//! server whose head lies before it has lost its past (DESIGN 3.4).

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use crate::backplane::{Position, Publication};
use crate::topic::Topic;

/// Topics remembered, at most. Beyond it all are forgotten and learned again: what is not known is
/// not compared.
const TOPICS: usize = 65_536;

/// Positions by topic and by partition.
pub(super) struct Seen {
    topics: Mutex<HashMap<Topic, Position>>,
    partitions: Mutex<Vec<Option<Position>>>,
}

impl Seen {
    pub(super) fn new(partitions: u16) -> Self {
        Self {
            topics: Mutex::default(),
            partitions: Mutex::new(vec![None; usize::from(partitions)]),
        }
    }

    pub(super) fn topic(&self, topic: &Topic) -> Option<Position> {
        lock(&self.topics).get(topic).copied()
    }

    pub(super) fn partition(&self, k: u16) -> Option<Position> {
        lock(&self.partitions)[usize::from(k)]
    }

    pub(super) fn saw_topic(&self, topic: &Topic, position: Position) {
        saw(&mut lock(&self.topics), topic, position);
    }

    pub(super) fn saw_publications(&self, publications: &[Publication]) {
        let mut topics = lock(&self.topics);
        for same in publications.chunk_by(|one, next| one.topic == next.topic) {
            let last = same
                .last()
                .and_then(|last| Some((&last.topic, last.position?)));
            if let Some((topic, position)) = last {
                saw(&mut topics, topic, position);
            }
        }
    }

    pub(super) fn saw_partition(&self, k: u16, position: Position) {
        let known = &mut lock(&self.partitions)[usize::from(k)];
        if known.is_none_or(|known| moves(known, position)) {
            *known = Some(position);
        }
    }
}

fn saw(topics: &mut HashMap<Topic, Position>, topic: &Topic, position: Position) {
    if let Some(known) = topics.get_mut(topic) {
        if moves(*known, position) {
            *known = position;
        }
        return;
    }
    if topics.len() >= TOPICS {
        topics.clear();
    }
    topics.insert(topic.clone(), position);
}

/// Answers arrive in any order; within an epoch the largest counts.
fn moves(known: Position, position: Position) -> bool {
    known.epoch != position.epoch || known.offset < position.offset
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A position is written whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
