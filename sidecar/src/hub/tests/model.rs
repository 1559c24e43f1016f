//! The hub against a naive model: random subscribing, publishing, confirming and closing, with the
//! backplane's answers and publications arriving in any order that a backplane may choose: the answer
//! for a topic any time, the answer for a pattern behind all that was published before it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::fakes::*;
use crate::backplane::{Interest, Position, Publication};
use crate::config::Limits;
use crate::hub::*;
use crate::topic::Pattern;

const SESSIONS: u64 = 4;
const TOPICS: [&str; 3] = ["a.1", "a.2", "b.1"];
const WANTED: [&str; 6] = ["a.1", "a.2", "b.1", "a.*", "*.1", "*"];

#[derive(Clone, Debug)]
enum Step {
    /// The backplane works on the oldest announcement; `false`: it is away.
    Announce(bool),
    Change(u64, Action, Vec<usize>),
    Close(u64),
    /// So many publications reach the reactor.
    Deliver(usize),
    Open(u64),
    Publish(usize),
    /// What the backplane could not take is taken now.
    Return,
    /// The oldest outcome reaches the reactor.
    Settle,
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = 0..SESSIONS;
    let wanted = prop::collection::vec(0..WANTED.len(), 1..3);
    let action = prop_oneof![3 => Just(Action::Subscribe), 2 => Just(Action::Unsubscribe)];
    let step = prop_oneof![
        4 => prop::bool::weighted(0.9).prop_map(Step::Announce),
        6 => (session.clone(), action, wanted).prop_map(|(s, a, w)| Step::Change(s, a, w)),
        1 => session.clone().prop_map(Step::Close),
        4 => (1_usize..4).prop_map(Step::Deliver),
        2 => session.prop_map(Step::Open),
        8 => (0..TOPICS.len()).prop_map(Step::Publish),
        1 => Just(Step::Return),
        4 => Just(Step::Settle),
        2 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 1..120)
}

/// What a session has by its acknowledgements: name or pattern -> publications of the fleet before
/// it was acknowledged.
#[derive(Default)]
struct Covered {
    serial: u64,
    since: BTreeMap<String, u64>,
    /// Topics -> no publication up to there may come any more.
    floors: BTreeMap<String, u64>,
    expected: Vec<(String, u64)>,
    asked: usize,
}

struct World {
    hub: Hub,
    announcements: Arc<Announcements>,
    out: Recorder,
    /// The fleet's clock: publications so far.
    published: u64,
    heads: BTreeMap<String, u64>,
    /// What the backplane sends here.
    interests: Vec<Interest>,
    away: Vec<(Interest, u64)>,
    /// With the fleet's clock when the backplane answered.
    outcomes: VecDeque<(Settled, u64)>,
    /// On their way to this reactor, with the fleet's clock at their publishing.
    arriving: VecDeque<(Publication, u64)>,
    /// The head that the hub was told last.
    told_heads: BTreeMap<String, u64>,
    open: BTreeMap<u64, Covered>,
    serial: u64,
    /// Whether a hole in what a session receives of a topic is a fault. While the backplane is away it
    /// is not: the acknowledgement said so.
    whole: bool,
}

fn matches(wanted: &str, topic: &str) -> bool {
    Pattern::parse(wanted, 255)
        .unwrap()
        .matches(&Topic::trusted(topic))
}

impl World {
    fn new(whole: bool) -> Self {
        let announcements = Arc::new(Announcements::default());
        Self {
            hub: hub(&announcements, Limits::default()),
            announcements,
            out: Recorder::default(),
            published: 0,
            heads: BTreeMap::new(),
            interests: Vec::new(),
            away: Vec::new(),
            outcomes: VecDeque::new(),
            arriving: VecDeque::new(),
            told_heads: BTreeMap::new(),
            open: BTreeMap::new(),
            serial: 0,
            whole,
        }
    }

    /// A session keeps its number in the steps; each time it is opened it is a new one for the hub.
    fn key(&self, session: u64) -> Option<SessionKey> {
        Some(SessionKey(
            self.open.get(&session)?.serial * SESSIONS + session,
        ))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Announce(works) => self.announce(works || self.whole),
            Step::Change(session, action, wanted) => {
                let Some(key) = self.key(session) else {
                    return;
                };
                let topics = wanted.iter().map(|&index| WANTED[index].into()).collect();
                self.open.get_mut(&session).unwrap().asked += 1;
                self.hub
                    .change(key, Change { action, topics }, &mut self.out);
            }
            Step::Close(session) => {
                if let Some(key) = self.key(session) {
                    self.hub.close(key);
                    self.open.remove(&session);
                    self.out.logs.remove(&key.0);
                }
            }
            Step::Deliver(count) => {
                for _ in 0..count {
                    self.deliver_one();
                }
            }
            Step::Open(session) => {
                if self.key(session).is_none() {
                    self.serial += 1;
                    let covered = Covered {
                        serial: self.serial,
                        ..Covered::default()
                    };
                    self.open.insert(session, covered);
                    let key = self.key(session).unwrap();
                    self.hub.open(key, profile(session), &mut self.out);
                }
            }
            Step::Publish(topic) => self.publish(TOPICS[topic]),
            Step::Return => {
                for (interest, number) in std::mem::take(&mut self.away) {
                    self.serve(interest, number);
                }
            }
            Step::Settle => {
                let Some((settled, answered)) = self.outcomes.pop_front() else {
                    return;
                };
                if matches!(settled.interest, Interest::Pattern(_)) {
                    while matches!(self.arriving.front(), Some((_, clock)) if *clock <= answered) {
                        self.deliver_one();
                    }
                }
                if let (Interest::Topic(topic), Outcome::Live(Some(head))) =
                    (&settled.interest, settled.outcome)
                {
                    self.told_heads.insert(topic.to_string(), head.offset);
                }
                self.hub.settled(vec![settled], &mut self.out);
            }
            Step::Turn => self.hub.turn(&mut self.out),
        }
        self.look();
    }

    fn deliver_one(&mut self) {
        if let Some((publication, clock)) = self.arriving.pop_front() {
            self.expect(&publication, clock);
            self.hub.publish(vec![publication], &mut self.out);
        }
    }

    fn announce(&mut self, works: bool) {
        let next = self.announcements.0.lock().unwrap().pop_front();
        match next {
            None => {}
            Some(Announcement::Release(interest)) => {
                self.interests.retain(|have| *have != interest);
                self.away.retain(|(have, _)| *have != interest);
            }
            Some(Announcement::Want(interest, number)) if works => self.serve(interest, number),
            Some(Announcement::Want(interest, announcement)) => {
                let settled = Settled {
                    interest: interest.clone(),
                    announcement,
                    outcome: Outcome::Away,
                };
                self.outcomes.push_back((settled, self.published));
                self.away.push((interest, announcement));
            }
        }
    }

    fn serve(&mut self, interest: Interest, announcement: u64) {
        let head = match &interest {
            Interest::Pattern(_) => None,
            Interest::Topic(topic) => {
                let offset = self.heads.get(topic.as_str()).copied().unwrap_or(0);
                Some(Position { epoch: 1, offset })
            }
        };
        self.interests.push(interest.clone());
        let settled = Settled {
            interest,
            announcement,
            outcome: Outcome::Live(head),
        };
        self.outcomes.push_back((settled, self.published));
    }

    fn publish(&mut self, name: &str) {
        self.published += 1;
        let offset = self.heads.entry(name.into()).or_default();
        *offset += 1;
        let topic = Topic::trusted(name);
        let wanted = self.interests.iter().any(|interest| match interest {
            Interest::Pattern(pattern) => pattern.matches(&topic),
            Interest::Topic(have) => *have == topic,
        });
        if wanted {
            let publication = Publication {
                topic,
                position: Some(Position {
                    epoch: 1,
                    offset: *offset,
                }),
                payload: Bytes::from(format!("{name}#{offset}")),
            };
            self.arriving.push_back((publication, self.published));
        }
    }

    /// Who must receive a publication that reaches the hub now: who was told that it has the topic
    /// before it was published.
    fn expect(&mut self, publication: &Publication, clock: u64) {
        let topic = publication.topic.as_str();
        for (session, covered) in &mut self.open {
            let denied = session % 2 == 1 && topic == DENIED;
            let has = covered
                .since
                .iter()
                .any(|(wanted, since)| matches(wanted, topic) && clock > *since);
            if has && !denied {
                let offset = publication.position.unwrap().offset;
                covered.expected.push((topic.into(), offset));
            }
        }
    }

    /// Notes what the sessions have been told.
    fn look(&mut self) {
        for (key, event) in std::mem::take(&mut self.out.told) {
            let Event::Ack(action, topics, _) = event else {
                continue;
            };
            let session = key % SESSIONS;
            let Some(covered) = self.open.get_mut(&session) else {
                continue;
            };
            for topic in &topics {
                match action {
                    Action::Subscribe => {
                        let by_pattern = covered
                            .since
                            .keys()
                            .chain(&topics)
                            .any(|have| have.contains('*') && matches(have, topic));
                        if !covered.since.contains_key(topic)
                            && !by_pattern
                            && let Some(head) = self.told_heads.get(topic)
                        {
                            covered.floors.insert(topic.clone(), *head);
                        }
                        covered.since.entry(topic.clone()).or_insert(self.published);
                        if topic.contains('*') {
                            covered.floors.clear();
                        }
                    }
                    Action::Unsubscribe => {
                        covered.since.remove(topic);
                        covered.floors.remove(topic);
                    }
                }
            }
            let log = self.out.logs.get(&key).unwrap();
            check_order(session, log, self.whole);
        }
        for (session, covered) in &self.open {
            let key = covered.serial * SESSIONS + session;
            for event in self.out.logs.get(&key).into_iter().flatten().rev() {
                let Event::Message(topic, offset) = event else {
                    break;
                };
                if let Some(floor) = covered.floors.get(topic) {
                    assert!(
                        offset > floor,
                        "{session} got {topic}#{offset}, not after its head"
                    );
                }
            }
        }
    }

    /// Everything on its way arrives.
    fn drain(&mut self) {
        loop {
            self.step(Step::Return);
            while !self.announcements.0.lock().unwrap().is_empty() {
                self.step(Step::Announce(true));
            }
            self.step(Step::Deliver(self.arriving.len()));
            if self.outcomes.is_empty() {
                break;
            }
            self.step(Step::Settle);
        }
        self.step(Step::Turn);
    }

    fn check(&mut self) {
        self.drain();
        assert!(self.out.ended.is_empty());
        for (session, covered) in &self.open {
            let key = covered.serial * SESSIONS + session;
            let log = &self.out.logs[&key];
            check_order(*session, log, self.whole);
            let acks = log.iter().filter(|event| matches!(event, Event::Ack(..)));
            assert_eq!(acks.count(), covered.asked, "one acknowledgement a change");
            for (topic, offset) in &covered.expected {
                assert!(
                    log.contains(&Event::Message(topic.clone(), *offset)),
                    "{session} lacks {topic}#{offset}: {log:?}"
                );
            }
        }
        for session in 0..SESSIONS {
            self.step(Step::Close(session));
        }
        self.drain();
        assert!(self.interests.is_empty(), "{:?}", self.interests);
        assert_eq!((self.hub.held_bytes, self.hub.subscriptions), (0, 0));
        assert!(self.hub.requests.is_empty() && self.hub.topics.is_empty());
    }
}

/// Ready first; of each topic every message once, in order, while the session has it and may; `whole`:
/// without a hole.
fn check_order(session: u64, log: &[Event], whole: bool) {
    let mut has: Vec<&str> = Vec::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut began_anew: BTreeSet<&str> = BTreeSet::new();
    for (index, event) in log.iter().enumerate() {
        match event {
            Event::Ready => assert_eq!(index, 0, "ready once and first"),
            Event::Ack(Action::Subscribe, topics, _) => {
                has.extend(topics.iter().map(String::as_str));
            }
            Event::Ack(Action::Unsubscribe, topics, _) => {
                has.retain(|have| !topics.iter().any(|topic| topic == have));
                let gone = |topic: &str| !has.iter().any(|have| matches(have, topic));
                began_anew.extend(last.keys().filter(|topic| gone(topic)));
            }
            Event::Message(topic, offset) => {
                assert!(
                    has.iter().any(|have| matches(have, topic)),
                    "{session} has no {topic}: {log:?}"
                );
                assert!(session.is_multiple_of(2) || topic != DENIED);
                let before = last.insert(topic, *offset);
                assert!(
                    before < Some(*offset),
                    "{session}: {topic}#{offset} after {before:?}: {log:?}"
                );
                let follows = before.is_none_or(|before| before + 1 == *offset);
                let begins = began_anew.remove(topic.as_str());
                assert!(
                    !whole || follows || begins,
                    "{session}: a hole before {topic}#{offset}: {log:?}"
                );
            }
        }
    }
}

fn run(steps: Vec<Step>, whole: bool) {
    let mut world = World::new(whole);
    for session in 0..SESSIONS / 2 {
        world.step(Step::Open(session));
    }
    for step in steps {
        world.step(step);
    }
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_session_gets_each_publication_once_in_order_from_its_acknowledgement_on(steps in steps()) {
        run(steps, false);
    }

    #[test]
    fn while_the_backplane_is_there_no_session_has_a_hole_in_a_topic(steps in steps()) {
        run(steps, true);
    }
}
