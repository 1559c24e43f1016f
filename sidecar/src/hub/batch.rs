//! What was published in this turn, by topic.

use bytes::Bytes;
use hashbrown::HashMap;

use super::entry::{Subscriber, is_after};
use crate::backplane::{Position, Publication};
use crate::topic::Topic;

/// A batch this large is pushed before the turn ends.
const BATCH_BYTES: usize = 256 << 10;

/// A batch is pushed before the turn ends when it is at least this part of a subscriber's outbound bound:
/// what the kernel takes between two pushes makes room for the next.
const OUTBOUND_PART: usize = 4;

/// Publications of one topic in the order of their arrival.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) topic: Topic,
    pub(super) messages: Vec<Bytes>,
    positions: Vec<Option<Position>>,
    bytes: usize,
}

impl Batch {
    /// Whether it should be pushed now to subscribers with this outbound bound.
    fn is_large(&self, outbound_bytes: usize) -> bool {
        self.bytes >= BATCH_BYTES.min(outbound_bytes / OUTBOUND_PART)
    }

    /// Index of the subscriber's first message. Afterwards the subscriber has seen this batch.
    pub(super) fn first_for(&self, subscriber: &mut Subscriber) -> u32 {
        let mut first = std::mem::take(&mut subscriber.skip);
        let Some(after) = subscriber.after else {
            return first;
        };
        for (index, position) in self.positions.iter().enumerate() {
            match position {
                // No position: this pod's own, while the backplane was away. Always for it.
                None => {}
                Some(position) if position.epoch == after.epoch && !is_after(*position, after) => {
                    first = first.max(index as u32 + 1);
                }
                Some(_) => subscriber.after = None,
            }
        }
        first
    }
}

/// The turn's batches.
#[derive(Debug, Default)]
pub(super) struct Batches {
    all: Vec<Batch>,
    by_topic: HashMap<Topic, usize>,
}

impl Batches {
    /// Appends a publication to its topic's batch, and returns the batch when it is large for
    /// subscribers with this outbound bound.
    pub(super) fn push(
        &mut self,
        publication: Publication,
        outbound_bytes: usize,
    ) -> Option<Batch> {
        let index = match self.all.last() {
            Some(last) if last.topic == publication.topic => self.all.len() - 1,
            _ => match self.by_topic.get(&publication.topic) {
                Some(&index) => index,
                None => self.begin(publication.topic.clone()),
            },
        };
        let batch = &mut self.all[index];
        batch.bytes += publication.payload.len();
        batch.messages.push(publication.payload);
        batch.positions.push(publication.position);
        batch.is_large(outbound_bytes).then(|| self.remove(index))
    }

    fn begin(&mut self, topic: Topic) -> usize {
        self.by_topic.insert(topic.clone(), self.all.len());
        self.all.push(Batch {
            topic,
            messages: Vec::new(),
            positions: Vec::new(),
            bytes: 0,
        });
        self.all.len() - 1
    }

    fn remove(&mut self, index: usize) -> Batch {
        let batch = self.all.swap_remove(index);
        self.by_topic.remove(&batch.topic);
        if let Some(moved) = self.all.get(index) {
            self.by_topic.insert(moved.topic.clone(), index);
        }
        batch
    }

    /// Messages of the topic's batch so far.
    pub(super) fn len(&self, topic: &Topic) -> u32 {
        self.by_topic
            .get(topic)
            .map_or(0, |&index| self.all[index].messages.len() as u32)
    }

    /// Takes one topic's batch.
    pub(super) fn take(&mut self, topic: &Topic) -> Option<Batch> {
        let index = *self.by_topic.get(topic)?;
        Some(self.remove(index))
    }

    /// Takes all, in the order in which they began.
    pub(super) fn take_all(&mut self) -> Vec<Batch> {
        self.by_topic.clear();
        std::mem::take(&mut self.all)
    }

    /// Takes some batch that `wanted` picks.
    pub(super) fn take_any(&mut self, wanted: impl Fn(&Topic) -> bool) -> Option<Batch> {
        let index = self.all.iter().rposition(|batch| wanted(&batch.topic))?;
        Some(self.remove(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::outbox::Encoding;

    fn at(offset: u64) -> Option<Position> {
        Some(Position { epoch: 1, offset })
    }

    #[test]
    fn a_subscriber_gets_the_suffix_after_its_head_and_after_it_joined() {
        // (positions, messages before it joined, its head) -> (first message, head still looked at)
        for (positions, skip, after, expected) in [
            (vec![at(4), at(5), at(6)], 0, at(5), (2, None)),
            (vec![at(4), at(5)], 0, at(5), (2, at(5))),
            (vec![at(6), at(7)], 1, at(5), (1, None)),
            (vec![at(5), None, at(6)], 0, at(5), (1, None)),
            (vec![None], 0, at(5), (0, at(5))),
            (vec![at(1)], 0, None, (0, None)),
            (
                vec![Some(Position {
                    epoch: 2,
                    offset: 1,
                })],
                0,
                at(5),
                (0, None),
            ),
        ] {
            let batch = Batch {
                topic: Topic::trusted("a"),
                messages: vec![Bytes::new(); positions.len()],
                positions: positions.clone(),
                bytes: 0,
            };
            let mut subscriber = Subscriber {
                encoding: Encoding(0),
                skip,
                after,
                grants: None,
            };
            let first = batch.first_for(&mut subscriber);
            assert_eq!((first, subscriber.after), expected, "{positions:?}");
            assert_eq!(subscriber.skip, 0);
        }
    }

    #[test]
    fn batches_are_found_after_others_were_taken() {
        let mut batches = Batches::default();
        for name in ["a", "b", "c", "a"] {
            let publication = Publication {
                topic: Topic::trusted(name),
                position: None,
                payload: Bytes::from_static(b"x"),
            };
            assert!(batches.push(publication, 1 << 20).is_none());
        }
        assert_eq!(
            batches.take(&Topic::trusted("a")).unwrap().messages.len(),
            2
        );
        assert_eq!(batches.len(&Topic::trusted("a")), 0);
        assert_eq!(batches.len(&Topic::trusted("c")), 1);
        assert!(batches.take_any(|topic| topic.as_str() == "c").is_some());
        assert!(batches.take_any(|topic| topic.as_str() == "c").is_none());
        assert_eq!(
            batches.take(&Topic::trusted("b")).unwrap().messages.len(),
            1
        );
    }
}
