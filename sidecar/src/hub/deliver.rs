//! Publications in, batches out.

use hashbrown::HashSet;

use super::batch::Batch;
use super::change::Request;
use super::entry::Entry;
use super::local::Hub;
use super::outbox::{Ending, Fanout, Outbox, Receiver, SessionKey, TopicKey};
use crate::backplane::{Interest, Publication};
use crate::topic::Topic;

impl Hub {
    /// Publications have arrived, each topic's in order.
    pub fn publish(&mut self, publications: Vec<Publication>, out: &mut impl Outbox) {
        self.metrics.publications.inc_by(publications.len() as u64);
        for publication in publications {
            self.publish_one(publication, out);
        }
    }

    fn publish_one(&mut self, publication: Publication, out: &mut impl Outbox) {
        let mut wanted = false;
        let mut held = 0;
        if let Some(entry) = self.topics.get_mut(&publication.topic) {
            let missing = entry.advance(publication.position);
            self.metrics.missing.inc_by(missing);
            wanted = !entry.subscribers.is_empty();
            held += entry.hold(&publication);
        }
        self.patterns.each_match_mut(&publication.topic, |entry| {
            wanted |= !entry.subscribers.is_empty();
            // A pattern begins where the backplane confirms it. What comes before that comes because
            // somebody has the topic by name, and may end before the pattern begins.
            if !entry.is_asking() {
                held += entry.hold(&publication);
            }
        });
        if held > 0 {
            self.held_bytes += held;
            self.bound_held(&publication.topic, out);
        }
        let outbound_bytes = self.settings.limits.outbound_bytes as usize;
        if wanted && let Some(large) = self.batches.push(publication, outbound_bytes) {
            self.push(large, out);
        }
    }

    /// Closes the sessions whose pending subscriptions hold more than they may: the bound of an entry
    /// is that of a session's outbound queue, the bound of all that of a reactor's inbox. To drop some
    /// of it instead would be a hole that nobody is told of.
    fn bound_held(&mut self, topic: &Topic, out: &mut impl Outbox) {
        let entry_bound = self.settings.limits.outbound_bytes as usize;
        let all_full = self.held_bytes as u64 > self.settings.limits.inbox_bytes;
        let is_full = |entry: &Entry| entry.held_bytes() > entry_bound || all_full;
        let mut requests: Vec<u64> = Vec::new();
        let mut note = |entry: &Entry| {
            if is_full(entry) {
                requests.extend(entry.pending());
            }
        };
        if let Some(entry) = self.topics.get(topic) {
            note(entry);
        }
        self.patterns.each_match(topic, note);
        for request in requests {
            let Some(session) = self.requests.get(&request).map(Request::session) else {
                continue;
            };
            self.metrics.overflowed.inc();
            out.end(session, Ending::Overflowed);
            self.close(session);
        }
    }

    /// Pushes every batch.
    pub(super) fn flush_all(&mut self, out: &mut impl Outbox) {
        for batch in self.batches.take_all() {
            self.push(batch, out);
        }
    }

    /// Pushes the topic's batch, if there is one.
    pub(super) fn flush(&mut self, topic: &Topic, out: &mut impl Outbox) {
        if let Some(batch) = self.batches.take(topic) {
            self.push(batch, out);
        }
    }

    /// Pushes the batches of the topics that an interest is about.
    pub(super) fn flush_interest(&mut self, interest: &Interest, out: &mut impl Outbox) {
        match interest {
            Interest::Topic(topic) => self.flush(topic, out),
            Interest::Pattern(pattern) => {
                while let Some(batch) = self.batches.take_any(|topic| pattern.matches(topic)) {
                    self.push(batch, out);
                }
            }
        }
    }

    /// Pushes the batches of all that a session has.
    pub(super) fn flush_of(&mut self, key: SessionKey, out: &mut impl Outbox) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let topics = session.topics.iter().cloned().map(Interest::Topic);
        let patterns = session.patterns.iter().cloned().map(Interest::Pattern);
        for interest in topics.chain(patterns).collect::<Vec<_>>() {
            self.flush_interest(&interest, out);
        }
    }

    /// Pushes a batch to everybody who has its topic, once each: by name, or by the first of its
    /// patterns.
    fn push(&mut self, batch: Batch, out: &mut impl Outbox) {
        let end = batch.messages.len() as u32;
        let mut targets = std::mem::take(&mut self.targets);
        let mut named = self.topics.get_mut(&batch.topic);
        if let Some(entry) = &mut named {
            for (session, subscriber) in entry.subscribers.iter_mut() {
                let first = batch.first_for(subscriber);
                if first < end {
                    targets.push((subscriber.encoding, Receiver { session, first }));
                }
            }
        }
        let by_name = targets.len();
        let mut matched = 0;
        let mut seen: HashSet<SessionKey> = HashSet::new();
        self.patterns.each_match(&batch.topic, |entry| {
            matched += 1;
            if matched == 2 {
                seen.extend(targets[by_name..].iter().map(|(_, target)| target.session));
            }
            for (session, subscriber) in entry.subscribers.iter() {
                let has_name = |named: &&mut Box<Entry>| named.subscribers.contains(session);
                if named.as_ref().is_some_and(has_name)
                    || !subscriber.may_receive(&batch.topic)
                    || (matched > 1 && !seen.insert(session))
                {
                    continue;
                }
                targets.push((subscriber.encoding, Receiver { session, first: 0 }));
            }
        });
        let slow_consumer = self.settings.policies.of(&batch.topic).slow_consumer;
        let key = TopicKey::of(&batch.topic);
        // Hardly ever more than one encoding, so the sort costs one look at each.
        targets.sort_by_key(|(encoding, _)| *encoding);
        for same in targets.chunk_by(|one, other| one.0 == other.0) {
            self.receivers.clear();
            self.receivers
                .extend(same.iter().map(|(_, receiver)| *receiver));
            let fanout = Fanout {
                messages: &batch.messages,
                encoding: same[0].0,
                slow_consumer,
                key,
            };
            let queued = out.fan_out(fanout, &self.receivers);
            self.metrics.deliveries.inc_by(queued);
        }
        targets.clear();
        self.targets = targets;
    }
}
