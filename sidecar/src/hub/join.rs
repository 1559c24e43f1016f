//! The second phase of subscribing: the backplane has answered, so the session is told and receives,
//! first what was held for it, then what is published.

use super::entry::{Phase, Subscriber, is_after};
use super::local::Hub;
use super::outbox::{Ack, Action, Fanout, Outbox, Receiver, SessionKey, TopicKey};
use crate::backplane::{Interest, Publication, State};
use crate::topic::{Pattern, Topic};

impl Hub {
    /// Everything that a request waited for is settled: acknowledge, then what was held, then live.
    pub(super) fn complete(&mut self, number: u64, out: &mut impl Outbox) {
        let Some(request) = self.requests.remove(&number) else {
            return;
        };
        let key = request.session;
        // What it receives already of these topics, by a pattern or by name, goes before the
        // acknowledgement.
        for (interest, _) in &request.wanted {
            self.flush_covered(key, interest, out);
        }
        let mut names = Vec::new();
        let mut patterns = Vec::new();
        let mut succeeded = request.had;
        let mut degraded = self.state == State::Degraded;
        for (interest, text) in request.wanted {
            let phase = self.entry(&interest).map(|entry| entry.phase);
            degraded |= matches!(phase, Some(Phase::Away(_)));
            succeeded.push(text);
            match interest {
                Interest::Pattern(pattern) => patterns.push(pattern),
                Interest::Topic(topic) => names.push(topic),
            }
        }
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.current = None;
        let profile = session.profile.clone();
        if request.is_first {
            out.ready(key, &profile.id, &profile.identity.user, profile.encoding);
        } else {
            let ack = Ack {
                action: Action::Subscribe,
                succeeded,
                failed: request.failed,
                degraded,
            };
            self.count_refused(&ack.failed);
            out.acknowledge(key, profile.encoding, &ack);
        }
        for topic in names {
            self.join_topic(key, number, topic, out);
        }
        for pattern in patterns {
            self.join_pattern(key, number, pattern, out);
        }
        self.next_change(key, out);
    }

    /// Carries out what waited behind a request.
    fn next_change(&mut self, key: SessionKey, out: &mut impl Outbox) {
        while let Some(session) = self.sessions.get_mut(&key)
            && session.current.is_none()
            && let Some(change) = session.waiting.pop_front()
        {
            self.carry_out(key, change, out);
        }
    }

    /// Pushes what the session receives already of an interest that it is about to have as well.
    fn flush_covered(&mut self, key: SessionKey, interest: &Interest, out: &mut impl Outbox) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let has_more = match interest {
            Interest::Pattern(_) => true,
            Interest::Topic(topic) => session.patterns.iter().any(|has| has.matches(topic)),
        };
        if has_more {
            self.flush_interest(interest, out);
        }
    }

    /// A pending subscription by name becomes live, with what was held for it first.
    fn join_topic(&mut self, key: SessionKey, number: u64, topic: Topic, out: &mut impl Outbox) {
        let skip = self.batches.len(&topic);
        let (Some(entry), Some(session)) =
            (self.topics.get_mut(&topic), self.sessions.get_mut(&key))
        else {
            return;
        };
        let (held, released) = entry.settle(number);
        self.held_bytes -= released;
        // A pattern of this session has brought it what was held, and would bring it what is still on
        // its way.
        let is_covered = session.patterns.iter().any(|has| has.matches(&topic));
        let before = entry.subscribers.len();
        let subscriber = Subscriber {
            encoding: session.profile.encoding,
            skip,
            after: if is_covered { None } else { entry.last },
            grants: None,
        };
        entry.subscribers.insert(key, subscriber);
        let head = entry.head;
        self.ranking.change(&topic, before, before + 1);
        self.subscriptions += usize::from(!topic.is_reserved());
        session.topics.insert(topic.clone());
        if is_covered {
            return;
        }
        let is_new = |publication: &Publication| match (publication.position, head) {
            (Some(position), Some(head)) if position.epoch == head.epoch => {
                is_after(position, head)
            }
            _ => true,
        };
        self.deliver_held(key, held.into_iter().filter(is_new).collect(), out);
    }

    /// A pending pattern becomes live. A pattern has no head, but its confirmation came behind all that
    /// was published before: what was held since is for it unless the session has the topic another way
    /// or may not have it.
    fn join_pattern(
        &mut self,
        key: SessionKey,
        number: u64,
        pattern: Pattern,
        out: &mut impl Outbox,
    ) {
        let (Some(entry), Some(session)) =
            (self.patterns.get_mut(&pattern), self.sessions.get_mut(&key))
        else {
            return;
        };
        let (mut held, released) = entry.settle(number);
        self.held_bytes -= released;
        let grants = &session.profile.identity.grants;
        let subscriber = Subscriber {
            encoding: session.profile.encoding,
            skip: 0,
            after: None,
            grants: (!grants.denies_nothing()).then(|| grants.clone()),
        };
        held.retain(|publication| {
            let topic = &publication.topic;
            subscriber.may_receive(topic)
                && !session.topics.contains(topic)
                && !session.patterns.iter().any(|has| has.matches(topic))
        });
        entry.subscribers.insert(key, subscriber);
        self.subscriptions += 1;
        session.patterns.insert(pattern);
        self.deliver_held(key, held, out);
    }

    /// Sends one session what was held for it.
    fn deliver_held(&self, key: SessionKey, held: Vec<Publication>, out: &mut impl Outbox) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let encoding = session.profile.encoding;
        let receiver = Receiver {
            session: key,
            first: 0,
        };
        for same in held.chunk_by(|one, other| one.topic == other.topic) {
            let topic = &same[0].topic;
            let messages: Vec<_> = same.iter().map(|held| held.payload.clone()).collect();
            let fanout = Fanout {
                messages: &messages,
                encoding,
                slow_consumer: self.settings.policies.of(topic).slow_consumer,
                key: TopicKey::of(topic),
            };
            self.metrics
                .deliveries
                .inc_by(out.fan_out(fanout, &[receiver]));
        }
    }
}
