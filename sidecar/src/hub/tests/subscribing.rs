//! The cases of subscribing that a model would meet rarely.

use std::sync::Arc;

use bytes::Bytes;

use super::fakes::*;
use crate::backplane::{Interest, Position, Publication};
use crate::config::Limits;
use crate::hub::*;
use crate::topic::Topic;

struct Bench {
    hub: Hub,
    announcements: Arc<Announcements>,
    out: Recorder,
}

impl Bench {
    /// A hub with sessions 0 and 2, ready.
    fn new(limits: Limits) -> Self {
        let announcements = Arc::new(Announcements::default());
        let mut bench = Self {
            hub: hub(&announcements, limits),
            announcements,
            out: Recorder::default(),
        };
        for session in [0, 2] {
            bench
                .hub
                .open(SessionKey(session), profile(session), &mut bench.out);
        }
        bench.answer_all(|_| Outcome::Live(at(0)));
        assert_eq!(bench.log(0), [Event::Ready]);
        bench
    }

    fn subscribe(&mut self, session: u64, topics: &[&str]) {
        self.change(session, Action::Subscribe, topics);
    }

    fn change(&mut self, session: u64, action: Action, topics: &[&str]) {
        let topics = topics.iter().map(|&topic| topic.into()).collect();
        let change = Change { action, topics };
        self.hub.change(SessionKey(session), change, &mut self.out);
    }

    /// Interests announced since the last call, with their numbers; and those released.
    fn announced(&self) -> (Vec<(Interest, u64)>, Vec<Interest>) {
        let (mut wanted, mut released) = (Vec::new(), Vec::new());
        for announcement in self.announcements.0.lock().unwrap().drain(..) {
            match announcement {
                Announcement::Release(interest) => released.push(interest),
                Announcement::Want(interest, number) => wanted.push((interest, number)),
            }
        }
        (wanted, released)
    }

    fn answer_all(&mut self, outcome: impl Fn(&Interest) -> Outcome) {
        for (interest, announcement) in self.announced().0 {
            let outcome = outcome(&interest);
            self.settle(interest, announcement, outcome);
        }
    }

    fn settle(&mut self, interest: Interest, announcement: u64, outcome: Outcome) {
        let settled = Settled {
            interest,
            announcement,
            outcome,
        };
        self.hub.settled(vec![settled], &mut self.out);
    }

    fn publish(&mut self, topic: &str, offset: u64) {
        let publication = Publication {
            topic: Topic::trusted(topic),
            position: at(offset),
            payload: Bytes::from(format!("{topic}#{offset}")),
        };
        self.hub.publish(vec![publication], &mut self.out);
        self.hub.turn(&mut self.out);
    }

    fn log(&self, session: u64) -> &[Event] {
        &self.out.logs[&session]
    }
}

fn at(offset: u64) -> Option<Position> {
    Some(Position { epoch: 1, offset })
}

fn topic(name: &str) -> Interest {
    Interest::Topic(Topic::trusted(name))
}

fn acked(topics: &[&str]) -> Event {
    let topics = topics.iter().map(ToString::to_string).collect();
    Event::Ack(Action::Subscribe, topics, Vec::new())
}

fn message(topic: &str, offset: u64) -> Event {
    Event::Message(topic.into(), offset)
}

#[test]
fn several_topics_are_one_announcement_and_one_acknowledgement_and_the_second_subscriber_waits_for_nobody()
 {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1", "a.*", "a.1"]);
    assert_eq!(bench.log(0).len(), 1);
    bench.answer_all(|_| Outcome::Live(at(4)));
    assert_eq!(bench.log(0)[1..], [acked(&["a.1", "a.1", "a.*"])]);
    bench.publish("a.1", 5);
    bench.subscribe(2, &["a.1"]);
    assert_eq!(bench.log(2)[1..], [acked(&["a.1"])]);
    assert!(bench.announced().0.is_empty());
    bench.publish("a.1", 6);
    assert_eq!(bench.log(0)[2..], [message("a.1", 5), message("a.1", 6)]);
    assert_eq!(bench.log(2)[2..], [message("a.1", 6)]);
}

#[test]
fn what_is_published_while_the_backplane_answers_follows_the_acknowledgement_from_the_head_on() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1"]);
    for offset in 3..=6 {
        bench.publish("a.1", offset);
    }
    bench.answer_all(|_| Outcome::Live(at(4)));
    // One that was still on its way and is not after the head that the hub knows by now.
    bench.publish("a.1", 6);
    bench.publish("a.1", 7);
    let expected = [
        acked(&["a.1"]),
        message("a.1", 5),
        message("a.1", 6),
        message("a.1", 7),
    ];
    assert_eq!(bench.log(0)[1..], expected);
}

#[test]
fn while_the_backplane_is_away_subscribing_succeeds_degraded_and_delivery_begins_on_return() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1"]);
    let (wanted, _) = bench.announced();
    let (interest, number) = wanted[0].clone();
    bench.settle(interest.clone(), number, Outcome::Away);
    assert!(bench.out.degraded);
    bench.subscribe(2, &["a.1"]);
    assert!(bench.out.degraded);
    assert!(bench.announced().0.is_empty(), "it is announced already");
    bench.settle(interest, number, Outcome::Live(at(9)));
    bench.publish("a.1", 10);
    for session in [0, 2] {
        assert_eq!(
            bench.log(session)[1..],
            [acked(&["a.1"]), message("a.1", 10)]
        );
    }
    bench.subscribe(0, &["b.1"]);
    bench.answer_all(|_| Outcome::Live(at(0)));
    assert!(!bench.out.degraded);
}

#[test]
fn a_topic_that_the_backplane_refuses_fails_alone() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1", "b.1"]);
    bench.answer_all(|interest| {
        if *interest == topic("a.1") {
            Outcome::Refused
        } else {
            Outcome::Live(at(0))
        }
    });
    let expected = Event::Ack(Action::Subscribe, vec!["b.1".into()], vec!["a.1".into()]);
    assert_eq!(bench.log(0)[1..], [expected]);
    assert_eq!(bench.out.reasons, [Refused::Backplane]);
    assert_eq!(bench.announced().1, [topic("a.1")]);
}

#[test]
fn a_subscription_that_is_refused_after_it_was_acknowledged_ends_the_session() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1"]);
    let (wanted, _) = bench.announced();
    let (interest, number) = wanted[0].clone();
    bench.settle(interest.clone(), number, Outcome::Away);
    bench.settle(interest, number, Outcome::Refused);
    assert_eq!(bench.out.ended, [(0, "Unserved".into())]);
}

#[test]
fn who_holds_too_much_while_pending_is_closed_and_the_memory_is_free_again() {
    let limits = Limits {
        outbound_bytes: 12,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    bench.subscribe(2, &["b.1"]);
    bench.answer_all(|_| Outcome::Live(at(0)));
    bench.subscribe(0, &["a.1"]);
    for offset in 1..=3 {
        bench.publish("a.1", offset);
        bench.publish("b.1", offset);
    }
    assert_eq!(bench.out.ended, [(0, "Overflowed".into())]);
    assert_eq!(bench.hub.held_bytes, 0);
    assert!(bench.announced().1.contains(&topic("a.1")));
    assert_eq!(bench.log(2).len(), 5, "the others go on");
}

#[test]
fn all_that_is_held_in_a_reactor_is_bounded_too() {
    let limits = Limits {
        inbox_bytes: 12,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    bench.subscribe(0, &["a.1"]);
    bench.subscribe(2, &["b.1"]);
    for offset in 1..=2 {
        bench.publish("a.1", offset);
        bench.publish("b.1", offset);
    }
    assert_eq!(bench.out.ended, [(0, "Overflowed".into())]);
}

#[test]
fn an_answer_to_an_announcement_that_was_taken_back_means_nothing() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1"]);
    let (wanted, _) = bench.announced();
    let (interest, old) = wanted[0].clone();
    bench.hub.close(SessionKey(0));
    assert!(bench.announced().1.contains(&interest));
    bench.subscribe(2, &["a.1"]);
    bench.settle(interest.clone(), old, Outcome::Live(at(7)));
    assert_eq!(
        bench.log(2),
        [Event::Ready],
        "not acknowledged by the old answer"
    );
    bench.answer_all(|_| Outcome::Live(at(8)));
    assert_eq!(bench.log(2)[1..], [acked(&["a.1"])]);
}

#[test]
fn changes_wait_behind_one_that_waits_and_too_many_are_refused() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1"]);
    bench.change(0, Action::Unsubscribe, &["a.1"]);
    for _ in 0..63 {
        bench.subscribe(0, &["b.1"]);
    }
    assert_eq!(bench.log(0).len(), 1);
    bench.subscribe(0, &["b.1"]);
    assert_eq!(bench.out.reasons, [Refused::Busy]);
    bench.answer_all(|_| Outcome::Live(at(0)));
    let gone = Event::Ack(Action::Unsubscribe, vec!["a.1".into()], Vec::new());
    assert_eq!(bench.log(0)[2..], [acked(&["a.1"]), gone]);
    let (wanted, released) = bench.announced();
    assert_eq!((wanted.len(), released), (1, vec![topic("a.1")]));
}

#[test]
fn a_session_that_covers_a_topic_by_pattern_loses_nothing_when_it_names_it() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.*"]);
    bench.answer_all(|_| Outcome::Live(None));
    bench.subscribe(0, &["a.1"]);
    // The head is told before this publication, which the pattern is owed, has arrived.
    bench.answer_all(|_| Outcome::Live(at(9)));
    bench.publish("a.1", 9);
    bench.publish("a.1", 10);
    assert_eq!(bench.log(0)[3..], [message("a.1", 9), message("a.1", 10)]);
}

#[test]
fn what_this_pod_published_alone_before_a_subscription_in_the_same_turn_is_not_for_it() {
    let mut bench = Bench::new(Limits::default());
    bench.subscribe(0, &["a.1"]);
    bench.answer_all(|_| Outcome::Away);
    // Without a position only the place in the turn's batch tells what came before.
    let local = |offset| Publication {
        topic: Topic::trusted("a.1"),
        position: None,
        payload: Bytes::from(format!("a.1#{offset}")),
    };
    bench.hub.publish(vec![local(1)], &mut bench.out);
    bench.subscribe(2, &["a.1"]);
    bench.hub.publish(vec![local(2)], &mut bench.out);
    bench.hub.turn(&mut bench.out);
    assert_eq!(bench.log(0)[2..], [message("a.1", 1), message("a.1", 2)]);
    assert_eq!(bench.log(2)[2..], [message("a.1", 2)]);
}

#[test]
fn one_push_takes_no_more_than_a_quarter_of_a_small_outbound_bound_or_one_message() {
    let limits = Limits {
        outbound_bytes: 100,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    bench.subscribe(0, &["a.1"]);
    bench.answer_all(|_| Outcome::Live(at(0)));
    bench.out.pushes.clear();
    let publication = |offset: u64| Publication {
        topic: Topic::trusted("a.1"),
        position: at(offset),
        payload: Bytes::from(format!("a.1#{offset}")),
    };
    let all: Vec<_> = (1..=30).map(publication).collect();
    let bytes: usize = all.iter().map(|one| one.payload.len()).sum();
    bench.hub.publish(all, &mut bench.out);
    bench.hub.turn(&mut bench.out);
    assert_eq!(bench.log(0).len(), 2 + 30);
    assert_eq!(bench.out.pushes.iter().sum::<usize>(), bytes);
    let longest = "a.1#30".len();
    assert!(
        bench.out.pushes.iter().all(|&push| push < 25 + longest),
        "{:?}",
        bench.out.pushes
    );
}
