//! Puts what arrives in order and hands it to the sink. One reader a session; what it has delivered
//! ([`Routes`]) outlives the session, so that the next one begins where this one ended.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::Core;
use super::inbox::{Event, Inbox, cost};
use super::keys::Channel;
use super::message::Message;
use super::session::{Fault, Session};
use super::tracker::{Tracker, Verdict};
use crate::backplane::interests::{Interests, Patterns};
use crate::backplane::{Position, Publication};
use crate::topic::Topic;

/// Events taken at once, at most; what they bring goes to the sink in one piece.
const BATCH: usize = 256;

/// Bytes handed to the sink at once, about.
const BATCH_BYTES: usize = 1 << 20;

/// Where each stream that this pod receives has been delivered to.
#[derive(Default)]
pub(super) struct Routes {
    /// Topics with interest by name.
    pub(super) topics: HashMap<Topic, Tracker>,
    pub(super) patterns: Patterns,
    /// The firehoses, by partition: what a pattern brings is numbered by these alone.
    pub(super) partitions: Vec<Tracker>,
    /// How far catching up with a partition has come with a topic that only patterns bring, by place
    /// in the partition: when the connection is lost in the middle, the next session goes on there.
    pub(super) caught_up: HashMap<Topic, Position>,
}

impl Routes {
    pub(super) fn new(partitions: u16) -> Self {
        Self {
            partitions: vec![Tracker::default(); usize::from(partitions)],
            ..Self::default()
        }
    }

    /// Takes over what is wanted after a time without a reader. What is still wanted keeps its place.
    pub(super) fn follow(&mut self, wanted: &Interests) {
        self.topics.retain(|topic, _| wanted.topics.contains(topic));
        for topic in &wanted.topics {
            if !self.topics.contains_key(topic) {
                self.topics.insert(topic.clone(), Tracker::default());
            }
        }
        self.patterns = Patterns::default();
        for pattern in wanted.patterns.iter() {
            self.patterns.add(pattern.clone());
        }
        if self.patterns.is_empty() {
            self.forget_firehoses();
        }
    }

    /// No pattern is left.
    fn forget_firehoses(&mut self) {
        self.partitions.fill(Tracker::default());
        self.caught_up.clear();
    }
}

/// Delivers for one session.
pub(super) struct Reader<'a> {
    pub(super) core: &'a Core,
    pub(super) session: &'a Arc<Session>,
    pub(super) inbox: Inbox,
    pub(super) routes: &'a mut Routes,
    batch: Vec<Publication>,
    batch_bytes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        core: &'a Core,
        session: &'a Arc<Session>,
        inbox: Inbox,
        routes: &'a mut Routes,
    ) -> Self {
        Self {
            core,
            session,
            inbox,
            routes,
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Reads to the end of what the session brings. When the connection is lost in the middle of
    /// filling a gap, what lies behind the gap is left to the next session.
    pub(super) async fn run(&mut self, events: &mut mpsc::UnboundedReceiver<Event>) {
        let mut ready = Vec::with_capacity(BATCH);
        while events.recv_many(&mut ready, BATCH).await > 0 {
            let mut waiting = 0;
            for event in ready.drain(..) {
                match event {
                    Event::End => {
                        self.flush().await;
                        return;
                    }
                    Event::Message(message, channel, k) => {
                        waiting += cost(&message);
                        // A fault has closed the session: only what is next in line still counts.
                        let _ = self.message(&message, channel, k).await;
                    }
                    Event::Overflow => {
                        tracing::warn!(
                            "more arrived from Redis than may wait; reading the rest from the history"
                        );
                        self.flush().await;
                        self.inbox.release(std::mem::take(&mut waiting));
                        self.inbox.take_again();
                        let _ = self.catch_up().await;
                    }
                    Event::Answer(reply, heads) => {
                        self.flush().await;
                        let _ = reply.send(Ok(heads));
                    }
                    Event::AddPattern(pattern) => {
                        self.routes.patterns.add(pattern);
                    }
                    Event::AddTopic(topic) => {
                        self.routes.topics.entry(topic).or_default();
                    }
                    Event::DropPattern(pattern) => {
                        self.routes.patterns.remove(&pattern);
                        if self.routes.patterns.is_empty() {
                            self.routes.forget_firehoses();
                        }
                    }
                    Event::DropTopic(topic) => {
                        self.routes.topics.remove(&topic);
                    }
                    Event::Head(topic, head) => {
                        if let Some(tracker) = self.routes.topics.get_mut(&topic) {
                            tracker.begin(head);
                        }
                    }
                    Event::JoinedFirehoses(positions) => {
                        let partitions = self.routes.partitions.iter_mut();
                        for (tracker, position) in partitions.zip(positions) {
                            tracker.begin(position);
                        }
                    }
                }
            }
            self.flush().await;
            self.inbox.release(waiting);
        }
    }

    /// Delivers a batch that has become full.
    pub(super) async fn flush_if_full(&mut self) {
        if self.batch_bytes >= BATCH_BYTES {
            self.flush().await;
        }
    }

    pub(super) async fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.core.seen.saw_publications(&batch);
        self.core.sink.deliver(batch).await;
    }

    pub(super) fn put(&mut self, publication: Publication) {
        self.batch_bytes += publication.payload.len();
        self.batch.push(publication);
    }

    pub(super) fn lose(&self, count: u64, topic: &Topic) {
        if count > 0 {
            self.core.metrics.lost.inc_by(count);
            tracing::warn!(%topic, count, "publications were lost: the history no longer has them");
        }
    }

    async fn message(&mut self, message: &Message, channel: Channel, k: u16) -> Result<(), Fault> {
        match channel {
            Channel::Control => {}
            Channel::Firehose => self.firehose(message, k).await?,
            Channel::Topic => self.topic(message).await?,
        }
        self.flush_if_full().await;
        Ok(())
    }

    async fn topic(&mut self, message: &Message) -> Result<(), Fault> {
        let at = message.position;
        let Some((topic, tracker)) = self.routes.topics.get_key_value_mut(message.topic()) else {
            return Ok(());
        };
        match tracker.offer(at) {
            Verdict::Deliver => {
                let publication = publication(topic.clone(), at, &message.payload);
                self.put(publication);
            }
            Verdict::Duplicate => self.core.metrics.duplicates.inc(),
            Verdict::Gap(after) => {
                let topic = topic.clone();
                self.fill(&topic, after).await?;
                self.settle(topic, message);
            }
        }
        Ok(())
    }

    /// Delivers the message behind a gap, unless filling the gap did; what is missing before it is
    /// lost.
    fn settle(&mut self, topic: Topic, message: &Message) {
        let at = message.position;
        let Some(tracker) = self.routes.topics.get_mut(&topic) else {
            return;
        };
        let lost = tracker.give_up_before(at);
        let verdict = tracker.offer(at);
        self.lose(lost, &topic);
        if verdict == Verdict::Deliver {
            self.put(publication(topic, at, &message.payload));
        }
    }

    async fn firehose(&mut self, message: &Message, k: u16) -> Result<(), Fault> {
        if self.routes.patterns.is_empty() {
            return Ok(());
        }
        let tracker = &mut self.routes.partitions[usize::from(k)];
        let mut verdict = tracker.offer(message.place);
        if let Verdict::Gap(_) = verdict {
            self.catch_up_partition(k).await?;
            let tracker = &mut self.routes.partitions[usize::from(k)];
            // What is missing before it has been read from the history, as far as that goes.
            tracker.give_up_before(message.place);
            verdict = tracker.offer(message.place);
        }
        if self.routes.topics.contains_key(message.topic()) {
            return self.topic(message).await;
        }
        if verdict == Verdict::Duplicate {
            self.core.metrics.duplicates.inc();
            return Ok(());
        }
        let topic = Topic::trusted(message.topic());
        if self.routes.patterns.matches(&topic) {
            self.put(publication(topic, message.position, &message.payload));
        }
        Ok(())
    }
}

fn publication(topic: Topic, at: Position, payload: &Bytes) -> Publication {
    Publication {
        topic,
        position: Some(at),
        payload: payload.clone(),
    }
}
