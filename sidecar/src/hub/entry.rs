//! One topic or pattern of one reactor.

use std::sync::Arc;

use hashbrown::HashMap;

use super::outbox::Encoding;
use super::subscribers::Subscribers;
use crate::auth::Grants;
use crate::backplane::{Position, Publication};
use crate::topic::Topic;

/// How far the backplane has come with an interest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// It has been announced under this number, and not answered.
    Asking(u64),
    /// The backplane is away and keeps it; the answer under this number comes when it is back.
    Away(u64),
    /// What is published arrives.
    Live,
}

/// Who receives a topic or pattern, and who is about to.
#[derive(Debug)]
pub(super) struct Entry {
    /// How far the backplane is.
    pub(super) phase: Phase,
    /// The topic's head when the backplane confirmed it.
    pub(super) head: Option<Position>,
    /// The last position that this reactor knows of: the head, or a publication after it.
    pub(super) last: Option<Position>,
    /// Acknowledged subscribers.
    pub(super) subscribers: Subscribers,
    /// While somebody is not acknowledged yet.
    waiting: Option<Box<Waiting>>,
}

/// Those who are about to receive.
#[derive(Debug, Default)]
struct Waiting {
    /// Requests -> index in `held` of their first publication.
    pending: HashMap<u64, usize>,
    /// What was published meanwhile, oldest first.
    held: Vec<Publication>,
    /// Their payloads' size.
    held_bytes: usize,
}

/// One subscriber of an entry.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// How it wants its messages.
    pub(super) encoding: Encoding,
    /// Messages of this turn's batch that came before it subscribed.
    pub(super) skip: u32,
    /// What it was told the head is: a publication up to there that is still on its way is not for
    /// it. None once one after it has come.
    pub(super) after: Option<Position>,
    /// What it may receive, when something is denied to it: looked at for each topic that a pattern
    /// matches.
    pub(super) grants: Option<Arc<Grants>>,
}

impl Subscriber {
    /// Whether a topic that its pattern matches may be delivered to it.
    pub(super) fn may_receive(&self, topic: &Topic) -> bool {
        self.grants
            .as_ref()
            .is_none_or(|grants| grants.permits(topic))
    }
}

impl Entry {
    /// An entry that has just been announced.
    pub(super) fn new(announcement: u64) -> Self {
        Self {
            phase: Phase::Asking(announcement),
            head: None,
            last: None,
            subscribers: Subscribers::default(),
            waiting: None,
        }
    }

    /// Whether nobody receives it nor is about to.
    pub(super) fn is_idle(&self) -> bool {
        self.subscribers.is_empty() && self.waiting.is_none()
    }

    /// Whether the backplane has not answered yet.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.phase, Phase::Asking(_))
    }

    /// Whether the announcement is the one that is not settled.
    pub(super) fn awaits(&self, announcement: u64) -> bool {
        matches!(self.phase, Phase::Asking(number) | Phase::Away(number) if number == announcement)
    }

    /// The backplane has confirmed it.
    pub(super) fn confirm(&mut self, head: Option<Position>) {
        self.phase = Phase::Live;
        self.head = head;
        self.last = match (self.last, head) {
            (Some(last), Some(head)) if is_after(last, head) => Some(last),
            (last, head) => head.or(last),
        };
    }

    /// Notes a publication's position. Returns how many publications before it are missing.
    pub(super) fn advance(&mut self, position: Option<Position>) -> u64 {
        let Some(position) = position else {
            return 0;
        };
        let missing = match self.last {
            // A position of another epoch begins anew; one that is not after the last is late.
            Some(last) if last.epoch == position.epoch => {
                if position.offset <= last.offset {
                    return 0;
                }
                position.offset - last.offset - 1
            }
            _ => 0,
        };
        self.last = Some(position);
        // Before the backplane has answered, what is missing is before the head.
        if self.phase == Phase::Live {
            missing
        } else {
            0
        }
    }

    /// A request is to be acknowledged; what is published from now on is held for it.
    pub(super) fn wait(&mut self, request: u64) {
        let waiting = self.waiting.get_or_insert_default();
        waiting.pending.insert(request, waiting.held.len());
    }

    /// The requests that wait.
    pub(super) fn pending(&self) -> impl Iterator<Item = u64> {
        let waiting = self.waiting.iter();
        waiting.flat_map(|waiting| waiting.pending.keys().copied())
    }

    /// Bytes that are held.
    pub(super) fn held_bytes(&self) -> usize {
        self.waiting
            .as_ref()
            .map_or(0, |waiting| waiting.held_bytes)
    }

    /// Keeps a publication for those who are pending. Returns its size, 0 when nobody is.
    pub(super) fn hold(&mut self, publication: &Publication) -> usize {
        let Some(waiting) = &mut self.waiting else {
            return 0;
        };
        let bytes = publication.payload.len();
        waiting.held.push(publication.clone());
        waiting.held_bytes += bytes;
        bytes
    }

    /// A request is no longer pending. Returns what was held for it, and how many bytes were let go
    /// because nobody else is pending.
    pub(super) fn settle(&mut self, request: u64) -> (Vec<Publication>, usize) {
        let Some(waiting) = &mut self.waiting else {
            return (Vec::new(), 0);
        };
        let Some(from) = waiting.pending.remove(&request) else {
            return (Vec::new(), 0);
        };
        if !waiting.pending.is_empty() {
            return (waiting.held[from..].to_vec(), 0);
        }
        let mut held = std::mem::take(&mut waiting.held);
        held.drain(..from);
        (held, self.let_go())
    }

    /// Nobody waits any more. Returns how many bytes were held.
    pub(super) fn let_go(&mut self) -> usize {
        self.waiting.take().map_or(0, |waiting| waiting.held_bytes)
    }
}

/// Whether `position` comes after `other` in the same stream.
pub(super) fn is_after(position: Position, other: Position) -> bool {
    position.epoch == other.epoch && position.offset > other.offset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Option<Position> {
        Some(Position { epoch: 1, offset })
    }

    #[test]
    fn the_last_position_never_goes_back_within_an_epoch() {
        let mut entry = Entry::new(1);
        assert_eq!(entry.advance(at(7)), 0);
        entry.confirm(at(5));
        assert_eq!((entry.head, entry.last), (at(5), at(7)));
        assert_eq!(entry.advance(at(6)), 0);
        assert_eq!(entry.last, at(7));
        assert_eq!(entry.advance(at(10)), 2);
        let other_epoch = Position {
            epoch: 2,
            offset: 1,
        };
        assert_eq!(entry.advance(Some(other_epoch)), 0);
        assert_eq!(entry.last, Some(other_epoch));
    }

    #[test]
    fn a_confirmation_ahead_of_what_arrived_is_the_last_position() {
        let mut entry = Entry::new(1);
        entry.advance(at(3));
        entry.confirm(at(5));
        assert_eq!(entry.last, at(5));
    }
}
