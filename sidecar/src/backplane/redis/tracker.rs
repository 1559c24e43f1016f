//! What has been delivered of one numbered stream. Pure: no clock, no connection. A topic and a
//! partition's firehose are such streams; each number is delivered once, in order.

use crate::backplane::Position;

/// Follows one stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tracker {
    /// The last that was delivered, or given up.
    last: Option<Position>,
    /// The head when interest began. What was on its way then may still be delivered, so this is not
    /// the last; but nothing after it may be missing.
    floor: Option<Position>,
}

/// What to do with an arrival.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It is the next one; the tracker has moved.
    Deliver,
    /// It was delivered before.
    Duplicate,
    /// Everything after this position and before the arrival is missing; the tracker has not moved.
    Gap(Position),
}

impl Tracker {
    /// Where to read on from. None: interest has begun, but where is not known yet.
    pub(super) fn position(&self) -> Option<Position> {
        self.last.or(self.floor)
    }

    /// Whether something was delivered or given up, not only interest begun.
    pub(super) fn has_delivered(&self) -> bool {
        self.last.is_some()
    }

    /// Judges an arrival. A new epoch is followed from its first number.
    pub(super) fn offer(&mut self, at: Position) -> Verdict {
        let Some(known) = self.position() else {
            self.last = Some(at);
            return Verdict::Deliver;
        };
        let after = if known.epoch == at.epoch {
            known.offset
        } else {
            0
        };
        if at.offset > after + 1 {
            return Verdict::Gap(Position {
                epoch: at.epoch,
                offset: after,
            });
        }
        if at.offset <= after && self.last.is_some() {
            return Verdict::Duplicate;
        }
        self.last = Some(at);
        Verdict::Deliver
    }

    /// Interest began here, unless it began before.
    pub(super) fn begin(&mut self, head: Position) {
        if self.position().is_none() {
            self.floor = Some(head);
        }
    }

    /// Everything up to and including this counts as delivered.
    pub(super) fn skip_to(&mut self, position: Position) {
        self.last = Some(position);
    }

    /// What the stream's end, read from Redis, says: the position to read on from, when something is
    /// missing. From then on every number counts, also what was on its way when interest began.
    pub(super) fn catch_up(&mut self, head: Position) -> Option<Position> {
        let Some(known) = self.position() else {
            self.floor = Some(head);
            return None;
        };
        let from = if known.epoch == head.epoch {
            known
        } else {
            Position { offset: 0, ..head }
        };
        if head.epoch != known.epoch || self.last.is_none() {
            self.last = Some(from);
        }
        (from.offset < head.offset).then_some(from)
    }

    /// Gives up what is still missing before `at`, and returns how many those are.
    pub(super) fn give_up_before(&mut self, at: Position) -> u64 {
        let after = match self.position() {
            Some(known) if known.epoch == at.epoch => known.offset,
            Some(_) => 0,
            None => at.offset - 1,
        };
        if at.offset <= after + 1 {
            return 0;
        }
        self.last = Some(Position {
            epoch: at.epoch,
            offset: at.offset - 1,
        });
        at.offset - 1 - after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(epoch: u32, offset: u64) -> Position {
        Position { epoch, offset }
    }

    #[test]
    fn arrivals_are_judged_by_the_last_one() {
        let followed = Tracker {
            last: Some(at(7, 3)),
            floor: None,
        };
        for (arrival, verdict) in [
            (at(7, 4), Verdict::Deliver),
            (at(7, 3), Verdict::Duplicate),
            (at(7, 1), Verdict::Duplicate),
            (at(7, 6), Verdict::Gap(at(7, 3))),
            (at(8, 1), Verdict::Deliver),
            (at(8, 3), Verdict::Gap(at(8, 0))),
        ] {
            assert_eq!(followed.clone().offer(arrival), verdict, "{arrival:?}");
        }
    }

    #[test]
    fn what_was_on_its_way_when_interest_began_is_delivered_once() {
        let mut tracker = Tracker::default();
        tracker.begin(at(7, 10));
        for (arrival, verdict) in [
            (at(7, 12), Verdict::Gap(at(7, 10))),
            (at(7, 9), Verdict::Deliver),
            (at(7, 9), Verdict::Duplicate),
            (at(7, 10), Verdict::Deliver),
            (at(7, 11), Verdict::Deliver),
        ] {
            assert_eq!(tracker.offer(arrival), verdict, "{arrival:?}");
        }
    }

    #[test]
    fn a_head_read_later_says_what_is_missing() {
        let mut unknown = Tracker::default();
        assert_eq!(unknown.catch_up(at(7, 10)), None);
        assert_eq!(unknown.position(), Some(at(7, 10)));

        let mut followed = Tracker::default();
        followed.skip_to(at(7, 10));
        assert_eq!(followed.clone().catch_up(at(7, 10)), None);
        assert_eq!(followed.clone().catch_up(at(7, 12)), Some(at(7, 10)));
        assert_eq!(followed.catch_up(at(8, 2)), Some(at(8, 0)));
        assert_eq!(followed.offer(at(8, 1)), Verdict::Deliver);
    }

    #[test]
    fn what_is_given_up_is_counted() {
        let mut tracker = Tracker::default();
        tracker.skip_to(at(7, 3));
        assert_eq!(tracker.give_up_before(at(7, 4)), 0);
        assert_eq!(tracker.give_up_before(at(7, 9)), 5);
        assert_eq!(tracker.offer(at(7, 9)), Verdict::Deliver);
        assert_eq!(tracker.give_up_before(at(8, 3)), 2);
        assert_eq!(tracker.offer(at(8, 3)), Verdict::Deliver);
    }

    /// A fault of the way from Redis to this pod.
    #[derive(Clone, Copy, Debug)]
    enum Fault {
        Drop,
        None,
        Repeat,
    }

    proptest! {
        /// Whatever is dropped or repeated on the way: with a history that reaches back far enough,
        /// every number after the floor is delivered once, in order.
        #[test]
        fn with_history_everything_is_delivered_once_in_order(
            begin in 0..5_u64,
            faults in proptest::collection::vec(
                prop_oneof![Just(Fault::Drop), Just(Fault::None), Just(Fault::Repeat)],
                0..60,
            ),
        ) {
            let mut tracker = Tracker::default();
            tracker.begin(at(7, begin));
            let mut delivered = Vec::new();
            let end = begin + faults.len() as u64;
            for (offset, fault) in (begin + 1..).zip(&faults) {
                let times = match fault {
                    Fault::Drop => 0,
                    Fault::None => 1,
                    Fault::Repeat => 2,
                };
                for _ in 0..times {
                    if let Verdict::Gap(after) = tracker.offer(at(7, offset)) {
                        for missing in after.offset + 1..=offset {
                            prop_assert_eq!(tracker.offer(at(7, missing)), Verdict::Deliver);
                            delivered.push(missing);
                        }
                    } else if delivered.last() != Some(&offset) {
                        delivered.push(offset);
                    }
                }
            }
            if let Some(after) = tracker.catch_up(at(7, end)) {
                for missing in after.offset + 1..=end {
                    prop_assert_eq!(tracker.offer(at(7, missing)), Verdict::Deliver);
                    delivered.push(missing);
                }
            }
            prop_assert_eq!(delivered, (begin + 1..=end).collect::<Vec<_>>());
        }

        /// Without any history the losses are exactly what is counted.
        #[test]
        fn without_history_losses_are_counted(arrive in proptest::collection::vec(any::<bool>(), 1..60)) {
            let mut tracker = Tracker::default();
            tracker.begin(at(7, 0));
            let (mut lost, mut delivered) = (0, 0_u64);
            for (offset, arrives) in (1..).zip(&arrive) {
                if *arrives {
                    lost += tracker.give_up_before(at(7, offset));
                    prop_assert_eq!(tracker.offer(at(7, offset)), Verdict::Deliver);
                    delivered += 1;
                }
            }
            let last = tracker.position().map_or(0, |position| position.offset);
            prop_assert_eq!(lost + delivered, last);
        }
    }
}
